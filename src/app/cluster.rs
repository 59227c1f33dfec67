//! What a replica asks the cluster before it starts: which one it is, and whether everything is there that it writes to. A
//! dead letter without a topic would be found missing only when the first one is due.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;

use super::Places;
use crate::dispatch::{ConsumedTopic, dead_letter_topic};
use crate::kafka::{heard, properties};

/// Why nobody can go on with this cluster yet: worth asking again.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error("Kafka at {servers} does not answer{}", .said.as_ref().map_or_else(String::new, |said| format!(": {said}")))]
    Silent {
        servers: String,
        /// Why, in librdkafka's words.
        said: Option<String>,
    },
    #[error("the Kafka client refuses its configuration: {0}")]
    Client(KafkaError),
    #[error("topics are missing: {}; `coafi topics apply` makes them", .topics.join(", "))]
    Missing { topics: Vec<String> },
    #[error("asking ended early: {0}")]
    Ended(#[from] tokio::task::JoinError),
}

/// For each answer of the brokers.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The topics that a replica writes to whatever its handlers do: retry topics, dead letters, and these `shared` ones.
pub(super) fn outputs(consumed: &[String], shared: &[&str]) -> BTreeSet<String> {
    let mut outputs: BTreeSet<String> = shared.iter().map(|&topic| topic.to_owned()).collect();
    for topic in consumed {
        let ConsumedTopic { base, tier } = ConsumedTopic::parse(topic);
        outputs.insert(if tier.is_some() { topic.clone() } else { dead_letter_topic(base) });
    }
    outputs
}

/// The cluster's id, once it has all of these topics.
///
/// # Errors
/// Why it cannot be had, or which topics are missing.
pub(super) async fn id(places: &Places, outputs: &BTreeSet<String>) -> Result<String, ClusterError> {
    let (mut client, servers, outputs) = (places.client_config(), places.bootstrap_servers.clone(), outputs.clone());
    properties::never_joins(&mut client);
    let asked = tokio::task::spawn_blocking(move || {
        let consumer = heard::listener(&client).map_err(ClusterError::Client)?;
        let silent = || ClusterError::Silent { servers: servers.clone(), said: heard::why(&consumer) };
        let id = consumer.client().fetch_cluster_id(TIMEOUT).ok_or_else(silent)?;
        let metadata = consumer.fetch_metadata(None, TIMEOUT).map_err(|_| silent())?;
        let there = metadata.topics().iter().map(|topic| topic.name()).collect();
        missing(&outputs, &there).map_or(Ok(id), Err)
    });
    asked.await?
}

fn missing(outputs: &BTreeSet<String>, there: &BTreeSet<&str>) -> Option<ClusterError> {
    let topics: Vec<String> = outputs.iter().filter(|topic| !there.contains(topic.as_str())).cloned().collect();
    (!topics.is_empty()).then_some(ClusterError::Missing { topics })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_to_is_known_from_what_is_consumed() {
        let consumed = ["coafi.git", "coafi.git.retry.5s", "coafi.api"].map(str::to_owned);
        let outputs = outputs(&consumed, &["coafi.unprocessed"]);
        let expected = ["coafi.api.dlq", "coafi.git.dlq", "coafi.git.retry.5s", "coafi.unprocessed"];
        assert_eq!(outputs.iter().map(String::as_str).collect::<Vec<_>>(), expected);
        assert!(missing(&outputs, &expected.into()).is_none());
        let said = missing(&outputs, &["coafi.git.dlq", "coafi.unprocessed"].into()).unwrap().to_string();
        assert_eq!(said, "topics are missing: coafi.api.dlq, coafi.git.retry.5s; `coafi topics apply` makes them");
    }
}
