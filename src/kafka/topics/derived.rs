//! The topics that a cluster is to have: each declared one, its retry tiers and its dead-letter topic.

use std::collections::BTreeMap;

use super::declaration::{Cleanup, Declaration, Retention};
use crate::dispatch::{dead_letter_topic, retry_topic};

/// A retry record or a dead letter is the original with more headers, so its topic takes this much more.
pub const DEAD_LETTER_MARGIN_BYTES: u32 = 256 << 10;

/// Partitions of a retry topic, unless its declaration says otherwise. A group's assignor counts partitions, whatever they
/// hold: with as many as the source has in each tier, a replica that joins last would be given partitions that are as good as
/// empty, and no event. One takes what a replica can handle, by key side by side.
const RETRY_PARTITIONS: i32 = 1;

/// One topic as the cluster is to have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    pub name: String,
    pub partitions: i32,
    /// Whether more partitions are as good: nobody has asked for a number.
    pub may_have_more: bool,
    pub replication: i32,
    /// Whether a key decides the partition, so that more partitions would break its order.
    pub keyed: bool,
    /// As Kafka names and writes it.
    pub config: BTreeMap<String, String>,
}

/// All topics of the declarations, each source followed by what is derived from it. `replication` replaces the declared
/// factor, for clusters of fewer brokers.
#[must_use]
pub fn topics(declarations: &[Declaration], replication: Option<i32>) -> Vec<Topic> {
    declarations
        .iter()
        .flat_map(|declaration| of(declaration, replication.unwrap_or(declaration.replication)))
        .collect()
}

fn of(declaration: &Declaration, replication: i32) -> Vec<Topic> {
    let Declaration { topic, partitions, max_message_bytes, key, config, .. } = declaration;
    let make = |name: String, cleanup, retention, max_message_bytes: u32| {
        let mut config = config.clone();
        config.insert("cleanup.policy".into(), policy(cleanup).into());
        config.insert("retention.ms".into(), retention_ms(retention));
        config.insert("max.message.bytes".into(), max_message_bytes.to_string());
        // One replica may be away while acks=all still means two copies.
        config.insert("min.insync.replicas".into(), (replication - 1).clamp(1, 2).to_string());
        Topic { name, partitions: *partitions, may_have_more: false, replication, keyed: key.is_some(), config }
    };
    let derived_bytes = max_message_bytes.saturating_add(DEAD_LETTER_MARGIN_BYTES);
    let mut all = vec![make(topic.clone(), declaration.cleanup, declaration.retention, *max_message_bytes)];
    if let Some(retry) = &declaration.retry {
        for tier in &retry.tiers {
            let partitions = retry.partitions.unwrap_or(RETRY_PARTITIONS);
            let like_the_source = make(retry_topic(topic, *tier), Cleanup::Delete, retry.retention, derived_bytes);
            all.push(Topic { partitions, may_have_more: retry.partitions.is_none(), ..like_the_source });
        }
    }
    if let Some(dead_letter) = &declaration.dead_letter {
        all.push(make(dead_letter_topic(topic), Cleanup::Delete, dead_letter.retention, derived_bytes));
    }
    all
}

const fn policy(cleanup: Cleanup) -> &'static str {
    match cleanup {
        Cleanup::Delete => "delete",
        Cleanup::Compact => "compact",
    }
}

fn retention_ms(retention: Retention) -> String {
    match retention {
        Retention::For(time) => time.as_millis().to_string(),
        Retention::Unlimited => "-1".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Schemas;

    #[test]
    fn a_source_topic_brings_its_tiers_and_its_dead_letters() {
        let text = "{topic: t, owner: o, partitions: 4, replication: 3, key: k, retention: 1d, cleanup: delete, \
                    max_message_bytes: 1 MiB, retry: {tiers: [5s, 60s], retention: 2d}, dead_letter: {retention: 3d}}";
        let declaration = Declaration::parse("f", text, &Schemas::built_in()).unwrap();
        let all = topics(std::slice::from_ref(&declaration), None);
        let names: Vec<&str> = all.iter().map(|topic| topic.name.as_str()).collect();
        assert_eq!(names, ["t", "t.retry.5s", "t.retry.1m", "t.dlq"]);
        assert!(all.iter().all(|topic| topic.replication == 3 && topic.keyed));
        assert_eq!(all.iter().map(|topic| topic.partitions).collect::<Vec<_>>(), [4, 1, 1, 4]);
        assert_eq!(all[0].config["retention.ms"], "86400000");
        assert_eq!(all[0].config["min.insync.replicas"], "2");
        let limit = |index: usize| all[index].config["max.message.bytes"].parse::<u32>().unwrap();
        assert!(limit(3) > limit(0) && limit(1) > limit(0), "a dead letter has more headers than its original");
        let asked =
            Declaration::parse("f", &text.replace("tiers:", "partitions: 3, tiers:"), &Schemas::built_in()).unwrap();
        let asked = topics(&[asked], None);
        assert_eq!(asked.iter().map(|topic| topic.partitions).collect::<Vec<_>>(), [4, 3, 3, 4]);
        assert_eq!((all[1].may_have_more, asked[1].may_have_more, all[0].may_have_more), (true, false, false));
        let single = topics(&[declaration], Some(1));
        assert!(single.iter().all(|topic| topic.replication == 1 && topic.config["min.insync.replicas"] == "1"));
    }
}
