//! The difference between declared topics and a cluster's, and what of it would lose something.
//!
//! | difference | what a plan does |
//! |---|---|
//! | topic missing | creates it |
//! | more partitions, no key or no record yet | adds them |
//! | more partitions, keyed and with records | refuses: a key's records would be in two partitions, out of order; but see [`Plan::drained`] |
//! | fewer partitions | refuses: Kafka cannot; but leaves a retry topic alone that nobody has declared a number for |
//! | another replication factor | refuses: it takes a reassignment |
//! | shorter retention, another cleanup policy, with records | refuses: records would go |
//! | any other configuration | alters it; keys that are not declared stay as they are |
//! | topic in the cluster, of ours by name, not declared | says so; never deletes |

use std::collections::BTreeMap;

use serde::Serialize;

use super::Topic;

/// A topic as a cluster has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    pub partitions: i32,
    pub replication: i32,
    /// Values in force, defaults included.
    pub config: BTreeMap<String, String>,
    /// Whether a partition has records.
    pub has_records: bool,
}

/// What is to be done to one topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    pub topic: String,
    #[serde(flatten)]
    pub change: Change,
    /// Why it must not be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Whether nothing is against it once every record is handled and nobody publishes.
    pub drainable: bool,
}

impl Step {
    /// Whether the cluster shows what this step changes.
    pub(in crate::kafka) fn is_seen_in(&self, observed: &BTreeMap<String, Observed>) -> bool {
        let found = observed.get(&self.topic);
        match &self.change {
            Change::Create { partitions, .. } => found.is_some_and(|topic| topic.partitions >= *partitions),
            Change::Partitions { to, .. } => found.is_some_and(|topic| topic.partitions >= *to),
            Change::Config(change) => found.is_some_and(|topic| topic.config.get(&change.key) == Some(&change.to)),
            Change::Replication { .. } | Change::Unknown => true,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    Create {
        partitions: i32,
        replication: i32,
        config: BTreeMap<String, String>,
    },
    Partitions {
        from: i32,
        to: i32,
    },
    Replication {
        from: i32,
        to: i32,
    },
    Config(ConfigChange),
    /// In the cluster and not declared.
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigChange {
    pub key: String,
    pub from: Option<String>,
    pub to: String,
}

/// Steps in order of the topics' declaration; unknown topics last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    pub steps: Vec<Step>,
}

impl Plan {
    /// Whether applying it would do something.
    #[must_use]
    pub fn changes_something(&self) -> bool {
        self.steps.iter().any(|step| step.change != Change::Unknown)
    }

    /// The plan for when every record is handled and nobody publishes: then more partitions put no record before an earlier one
    /// of its key.
    #[must_use]
    pub fn drained(mut self) -> Self {
        self.steps.iter_mut().filter(|step| step.drainable).for_each(|step| step.refused = None);
        self
    }

    /// Topics whose number of partitions changes, with the number that they have now.
    pub fn growing(&self) -> impl Iterator<Item = (&str, i32)> {
        self.steps.iter().filter_map(|step| match step.change {
            Change::Partitions { from, .. } => Some((step.topic.as_str(), from)),
            _ => None,
        })
    }

    /// Whether a step is refused only because there may be records that are not handled.
    #[must_use]
    pub fn needs_drain(&self) -> bool {
        self.steps.iter().any(|step| step.drainable)
    }

    /// The steps that must not be done. [`crate::kafka::admin::Admin::apply`] does nothing while there are any.
    pub fn refused(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| step.refused.is_some())
    }
}

/// Compares; `observed` is every topic of the cluster, Kafka's own aside. A topic that is not declared is mentioned if its
/// name begins like a declared one up to the first dot.
#[must_use]
pub fn plan(declared: &[Topic], observed: &BTreeMap<String, Observed>) -> Plan {
    let mut steps = Vec::new();
    for topic in declared {
        match observed.get(&topic.name) {
            None => steps.push(create(topic)),
            Some(found) => steps.extend(differences(topic, found)),
        }
    }
    let ours: Vec<&str> = declared.iter().filter_map(|topic| family(&topic.name)).collect();
    for name in observed.keys() {
        let known = declared.iter().any(|topic| topic.name == *name);
        if !known && family(name).is_some_and(|family| ours.contains(&family)) {
            steps.push(Step { topic: name.clone(), change: Change::Unknown, refused: None, drainable: false });
        }
    }
    Plan { steps }
}

fn family(name: &str) -> Option<&str> {
    name.split_once('.').map(|(family, _)| family)
}

fn create(topic: &Topic) -> Step {
    let Topic { partitions, replication, ref config, .. } = *topic;
    let change = Change::Create { partitions, replication, config: config.clone() };
    Step { topic: topic.name.clone(), change, refused: None, drainable: false }
}

fn differences(topic: &Topic, found: &Observed) -> Vec<Step> {
    let mut steps = Vec::new();
    let step = |change, refused: Option<&str>, drainable| {
        let refused = refused.map(str::to_owned);
        Step { topic: topic.name.clone(), change, refused, drainable }
    };
    let (from, to) = (found.partitions, topic.partitions);
    if from < to || (from > to && !topic.may_have_more) {
        let drainable = to > from && topic.keyed && found.has_records;
        let refused = if to < from {
            Some("Kafka cannot take partitions away; a smaller topic is a new topic")
        } else if drainable {
            Some(
                "a key's next records would go to another partition than its earlier ones and could overtake them: \
                 stop its publishers and use --drain",
            )
        } else {
            None
        };
        steps.push(step(Change::Partitions { from, to }, refused, drainable));
    }
    let mut push = |change, refused| steps.push(step(change, refused, false));
    let (from, to) = (found.replication, topic.replication);
    if from != to {
        let refused = "the factor of an existing topic changes by reassignment (kafka-reassign-partitions)";
        push(Change::Replication { from, to }, Some(refused));
    }
    for (key, to) in &topic.config {
        let from = found.config.get(key);
        if from != Some(to) {
            let refused = if found.has_records { loss(key, from.map(String::as_str), to) } else { None };
            push(Change::Config(ConfigChange { key: key.clone(), from: from.cloned(), to: to.clone() }), refused);
        }
    }
    steps
}

/// Why a change of configuration loses records.
fn loss(key: &str, from: Option<&str>, to: &str) -> Option<&'static str> {
    // -1 is "unlimited" for both kinds of retention.
    let limit = |text: &str| text.parse::<i64>().ok().map(|n| if n < 0 { i64::MAX } else { n });
    match key {
        "retention.ms" | "retention.bytes" => {
            let shrinks = limit(to) < from.and_then(limit).or(Some(i64::MAX));
            shrinks.then_some("records that are kept now would be deleted")
        }
        "cleanup.policy" => match (from, to) {
            (Some("delete"), "compact") => Some("all but the last record of each key would be deleted"),
            (Some("compact"), _) => Some("records that compaction keeps would be deleted by age"),
            _ => Some("records that are kept now could be deleted"),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str, partitions: i32, config: &[(&str, &str)]) -> Topic {
        let config = config.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Topic { name: name.into(), partitions, may_have_more: false, replication: 1, keyed: true, config }
    }

    fn observed(like: &Topic, has_records: bool) -> Observed {
        let Topic { partitions, replication, config, .. } = like.clone();
        Observed { partitions, replication, config, has_records }
    }

    /// The plan from `old` to `new` is one step, refused or not as said; and never refused while there is no record.
    fn check(old: &Topic, new: &Topic, refused: bool) {
        for has_records in [true, false] {
            let cluster = [(old.name.clone(), observed(old, has_records))].into();
            let plan = plan(std::slice::from_ref(new), &cluster);
            assert_eq!(plan.steps.len(), 1, "{plan:?}");
            assert_eq!(plan.refused().count() == 1, refused && has_records, "{plan:?}");
        }
    }

    #[test]
    fn what_would_lose_something_is_refused_while_there_is_something() {
        let with = |partitions, config: &[(&str, &str)]| topic("coafi.a", partitions, config);
        check(&with(1, &[]), &with(2, &[]), true);
        check(&with(1, &[]), &Topic { keyed: false, ..with(2, &[]) }, false);
        check(&with(1, &[("retention.ms", "1000")]), &with(1, &[("retention.ms", "999")]), true);
        check(&with(1, &[("retention.ms", "-1")]), &with(1, &[("retention.ms", "1000")]), true);
        check(&with(1, &[("retention.ms", "1000")]), &with(1, &[("retention.ms", "-1")]), false);
        check(&with(1, &[("cleanup.policy", "delete")]), &with(1, &[("cleanup.policy", "compact")]), true);
        check(&with(1, &[("cleanup.policy", "compact")]), &with(1, &[("cleanup.policy", "delete")]), true);
        check(&with(1, &[("max.message.bytes", "9")]), &with(1, &[("max.message.bytes", "8")]), false);
    }

    #[test]
    fn what_kafka_cannot_do_is_refused_always() {
        let old = topic("coafi.a", 2, &[]);
        for new in [topic("coafi.a", 1, &[]), Topic { replication: 3, ..old.clone() }] {
            let cluster = [(old.name.clone(), observed(&old, false))].into();
            assert_eq!(plan(&[new], &cluster).refused().count(), 1);
        }
    }

    #[test]
    fn a_topic_may_have_more_partitions_than_nobody_has_asked_for() {
        let old = topic("coafi.a", 2, &[]);
        let cluster = [(old.name.clone(), observed(&old, true))].into();
        let any = |partitions| Topic { may_have_more: true, ..topic("coafi.a", partitions, &[]) };
        assert_eq!(plan(&[any(1)], &cluster), Plan::default());
        assert_eq!(plan(&[any(3)], &cluster).refused().count(), 1);
    }

    #[test]
    fn nothing_is_planned_for_a_cluster_that_is_as_declared_or_has_more_configuration() {
        let declared = topic("coafi.a", 1, &[("retention.ms", "1")]);
        let mut found = observed(&declared, true);
        found.config.insert("segment.ms".into(), "7".into());
        let plan = plan(&[declared], &[("coafi.a".to_owned(), found)].into());
        assert!(!plan.changes_something(), "{plan:?}");
    }

    #[test]
    fn missing_topics_are_created_and_unknown_ones_of_ours_mentioned() {
        let declared = [topic("coafi.a", 1, &[])];
        let other = observed(&declared[0], true);
        let cluster = [("coafi.old".to_owned(), other.clone()), ("elsewhere.x".to_owned(), other)].into();
        let plan = plan(&declared, &cluster);
        let changes: Vec<_> = plan.steps.iter().map(|step| (step.topic.as_str(), &step.change)).collect();
        assert!(matches!(changes[..], [("coafi.a", Change::Create { .. }), ("coafi.old", Change::Unknown)]));
    }
}
