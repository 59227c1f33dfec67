//! What `coafi dlq` and `coafi unprocessed` need of the cluster: which topics letters are in, and where they can go.

use std::collections::BTreeSet;

use anyhow::Context as _;

use super::{AUDIT_TOPIC, Places, cluster, known_topics};
use crate::dispatch::{DispatcherSettings, dead_letter_topic};
use crate::dlq::{Cluster, STATE_TOPIC, Source, Sources};
use crate::kafka::scan::{Reader, ScanError};
use crate::kafka::topics::Declaration;
use crate::schema::Codec;

/// The topic of events that no route took.
#[must_use]
pub fn unprocessed_topic() -> String {
    DispatcherSettings::default().unprocessed_topic
}

/// The dead-letter topics that are asked for, by source topic or by their own name; all that are declared if none is.
#[must_use]
pub fn dead_letter_topics(declarations: &[Declaration], asked: &[String]) -> Vec<String> {
    let declared = known_topics(declarations);
    let of = |topic: &String| if declared.contains_key(topic) { dead_letter_topic(topic) } else { topic.clone() };
    let topics: BTreeSet<String> = match asked {
        [] => declared.keys().map(|topic| dead_letter_topic(topic)).collect(),
        asked => asked.iter().map(of).collect(),
    };
    topics.into_iter().collect()
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
    let id = cluster::id(places, &written).await.map_err(anyhow::Error::msg);
    let id = id.context("nothing can be done with these records")?;
    Ok(Cluster { reader: places.reader(), client: places.client_config(), codec, id, audit_topic: AUDIT_TOPIC })
}
