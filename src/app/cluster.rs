//! What a replica asks the cluster before it starts: which one it is, and whether everything is there that it writes to. A
//! dead letter without a topic would be found missing only when the first one is due.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::Places;
use crate::dispatch::{ConsumedTopic, dead_letter_topic};
use crate::kafka::properties;

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
/// Why it cannot be had, or which topics are missing: for people, and worth asking again.
pub(super) async fn id(places: &Places, outputs: &BTreeSet<String>) -> Result<String, String> {
    let (mut client, servers, outputs) = (places.client_config(), places.bootstrap_servers.clone(), outputs.clone());
    properties::never_joins(&mut client);
    let asked = tokio::task::spawn_blocking(move || {
        let silent = || format!("Kafka at {servers} does not answer");
        let consumer: BaseConsumer = client.create().map_err(|error| error.to_string())?;
        let id = consumer.client().fetch_cluster_id(TIMEOUT).ok_or_else(silent)?;
        let metadata = consumer.fetch_metadata(None, TIMEOUT).map_err(|_| silent())?;
        let there = metadata.topics().iter().map(|topic| topic.name()).collect();
        missing(&outputs, &there).map_or(Ok(id), Err)
    });
    asked.await.map_err(|error| error.to_string())?
}

fn missing(outputs: &BTreeSet<String>, there: &BTreeSet<&str>) -> Option<String> {
    let missing: Vec<&str> = outputs.iter().map(String::as_str).filter(|topic| !there.contains(topic)).collect();
    (!missing.is_empty())
        .then(|| format!("topics are missing: {}; `coafi topics apply` makes them", missing.join(", ")))
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
        assert_eq!(missing(&outputs, &expected.into()), None);
        let said = missing(&outputs, &["coafi.git.dlq", "coafi.unprocessed"].into()).unwrap();
        assert_eq!(said, "topics are missing: coafi.api.dlq, coafi.git.retry.5s; `coafi topics apply` makes them");
    }
}
