//! What `coafi dlq` and `coafi unprocessed` need of the cluster: which topics letters are in, and where they can go.

use std::collections::BTreeSet;

use anyhow::Context as _;

use super::{AUDIT_TOPIC, Places, cluster, known_topics};
use crate::dispatch::{DispatcherSettings, dead_letter_topic, is_dead_letter_topic};
use crate::dlq::{Cluster, STATE_TOPIC, Source, Sources};
use crate::kafka::scan::{Reader, ScanError};
use crate::kafka::topics::Declaration;
use crate::schema::Codec;

/// The topic of events that no route took.
#[must_use]
pub fn unprocessed_topic() -> String {
    DispatcherSettings::default().unprocessed_topic
}

/// A topic was asked for that letters are not in.
#[derive(Debug, thiserror::Error)]
#[error("{topic} holds no dead letters; allowed: {declared}, or another program's topic with a name like other.dlq")]
pub struct NoDeadLetters {
    topic: String,
    declared: String,
}

/// The dead-letter topics that are asked for, by source topic or by their own name; all that are declared if none is.
///
/// # Errors
/// One is neither.
pub fn dead_letter_topics(declarations: &[Declaration], asked: &[String]) -> Result<Vec<String>, NoDeadLetters> {
    let declared = known_topics(declarations);
    if asked.is_empty() {
        return Ok(declared.keys().map(|topic| dead_letter_topic(topic)).collect());
    }
    let of = |topic: &String| if declared.contains_key(topic) { dead_letter_topic(topic) } else { topic.clone() };
    let topics: BTreeSet<String> = asked.iter().map(of).collect();
    topics.iter().try_for_each(|topic| holds_dead_letters(declarations, topic))?;
    Ok(topics.into_iter().collect())
}

/// What is done with letters is never done with records of another topic: those of a source topic are still to be handled.
///
/// # Errors
/// It holds something else.
pub fn holds_dead_letters(declarations: &[Declaration], topic: &str) -> Result<(), NoDeadLetters> {
    let is_declared = declarations.iter().any(|declaration| declaration.topic == *topic);
    if is_dead_letter_topic(topic) && !is_declared {
        return Ok(());
    }
    let declared: Vec<String> = known_topics(declarations).keys().map(|topic| dead_letter_topic(topic)).collect();
    Err(NoDeadLetters { topic: topic.to_owned(), declared: declared.join(", ") })
}

/// The source topic whose dead letters this topic holds, if one is declared.
#[must_use]
pub fn source_of<'a>(declarations: &'a [Declaration], dead_letters: &str) -> Option<&'a str> {
    let of = |declaration: &&Declaration| {
        declaration.dead_letter.is_some() && dead_letter_topic(&declaration.topic) == dead_letters
    };
    declarations.iter().find(of).map(|declaration| declaration.topic.as_str())
}

/// Those of these topics that exist, with their partitions.
///
/// # Errors
/// The brokers do not say.
pub async fn sources(reader: &Reader, topics: impl IntoIterator<Item = &str>) -> Result<Sources, ScanError> {
    let mut sources = Sources::new();
    for topic in topics {
        match reader.partitions(topic).await {
            Ok(partitions) => drop(sources.insert(topic.to_owned(), Source { partitions })),
            Err(ScanError::NoTopic { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sources)
}

/// The cluster, once it is known to have the topics that are written to.
///
/// # Errors
/// It does not answer, or a topic is missing.
pub async fn letters_cluster(places: &Places, codec: Codec) -> anyhow::Result<Cluster> {
    let written = [STATE_TOPIC, AUDIT_TOPIC].map(str::to_owned).into();
    let id = cluster::id(places, &written).await.context("nothing can be done with these records")?;
    Ok(Cluster { reader: places.reader(), client: places.client_config(), codec, id, audit_topic: AUDIT_TOPIC })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::topics;

    #[test]
    fn letters_are_looked_for_in_dead_letter_topics_only() {
        let declarations = topics::embedded().unwrap();
        let topics = |asked: &[&str]| {
            let asked: Vec<String> = asked.iter().map(|topic| (*topic).to_owned()).collect();
            dead_letter_topics(&declarations, &asked)
        };
        let both_names = topics(&["coafi.git", "coafi.git.dlq", "other.dlq"]).unwrap();
        assert_eq!(both_names, ["coafi.git.dlq", "other.dlq"]);
        assert!(topics(&[]).unwrap().contains(&"coafi.git.dlq".to_owned()));
        for other in ["coafi.unprocessed", "coafi.dlq.state", "coafi.git.retry.1m", "unknown", ".dlq"] {
            let refused = topics(&["coafi.git", other]).unwrap_err().to_string();
            assert!(refused.starts_with(&format!("{other} holds no dead letters; allowed: ")), "{refused}");
            assert!(refused.contains("coafi.git.dlq"), "{refused}");
        }
        // Named one by one, records of a source topic would be given up or sent twice.
        assert!(holds_dead_letters(&declarations, "coafi.git").is_err());
        assert!(holds_dead_letters(&declarations, "coafi.git.dlq").is_ok());
    }
}
