//! Asks a cluster for its topics and applies a [`Plan`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigResource, ConfigSource, NewPartitions, NewTopic, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::topics::{Change, Observed, Plan, Step, Topic, plan};

/// For one request to the cluster.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// Until the controller has created a topic on its brokers.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(30);
/// Until what was changed is what every request sees: brokers learn from the controller's log, some time after its answer.
const SETTLED_WITHIN: Duration = Duration::from_secs(30);
/// Between two looks at what passes by itself (an election, the brokers' reading of the controller's log), of which Kafka
/// tells nobody. Each such loop has a deadline.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Topics in one request for their configuration.
const DESCRIBED_AT_ONCE: usize = 100;

#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error("client properties: {0}")]
    Properties(#[source] KafkaError),
    #[error("the cluster does not answer to {what}: {source}")]
    Unavailable { what: &'static str, source: KafkaError },
    #[error("the cluster refuses to {what} of topic {topic:?}: {code}")]
    Topic { what: &'static str, topic: String, code: RDKafkaErrorCode },
    #[error("the cluster agreed to the change, but {SETTLED_WITHIN:?} later topic {0:?} still is as it was")]
    Unsettled(String),
    #[error("the plan has {0} refused steps; nothing was changed")]
    Refused(usize),
}

/// A connection for administration. Cheap to clone.
#[derive(Clone)]
pub struct Admin(Arc<AdminClient<DefaultClientContext>>);

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Admin")
    }
}

impl Admin {
    /// Does not wait for a connection.
    ///
    /// # Errors
    /// [`AdminError::Properties`].
    pub fn new(client: &ClientConfig) -> Result<Self, AdminError> {
        client.create().map(|client| Self(Arc::new(client))).map_err(AdminError::Properties)
    }

    /// How the cluster differs from `declared`.
    ///
    /// # Errors
    /// [`AdminError::Unavailable`].
    pub async fn plan(&self, declared: &[Topic]) -> Result<Plan, AdminError> {
        let names: Vec<&str> = declared.iter().map(|topic| topic.name.as_str()).collect();
        let mut observed = self.observed(&names).await?;
        // Whether there are records takes a question per partition, so it is asked only where it decides.
        let first = plan(declared, &observed);
        for topic in first.refused().map(|step| &step.topic).collect::<BTreeSet<_>>() {
            if let Some(found) = observed.get_mut(topic) {
                found.has_records = self.has_records(topic, found.partitions).await?;
            }
        }
        Ok(plan(declared, &observed))
    }

    /// Does what the plan says and waits until the cluster shows it; nothing at all if a step is refused.
    ///
    /// # Errors
    /// [`AdminError`]; what was done before it stays, and another plan shows the rest.
    pub async fn apply(&self, plan: &Plan) -> Result<(), AdminError> {
        match plan.refused().count() {
            0 => {}
            refused => return Err(AdminError::Refused(refused)),
        }
        self.create(&plan.steps).await?;
        self.add_partitions(&plan.steps).await?;
        self.configure(&plan.steps).await?;
        self.settled(&plan.steps).await
    }

    async fn settled(&self, steps: &[Step]) -> Result<(), AdminError> {
        // Each once: Kafka refuses a request that names a topic twice.
        let topics: BTreeSet<&str> =
            steps.iter().filter(|step| step.change != Change::Unknown).map(|step| step.topic.as_str()).collect();
        let topics: Vec<&str> = topics.into_iter().collect();
        let deadline = Instant::now() + SETTLED_WITHIN;
        loop {
            let observed = self.observed(&topics).await?;
            let Some(step) = steps.iter().find(|step| !step.is_seen_in(&observed)) else { return Ok(()) };
            if Instant::now() > deadline {
                return Err(AdminError::Unsettled(step.topic.clone()));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// The cluster's topics, those with these names with their configuration.
    async fn observed(&self, names: &[&str]) -> Result<BTreeMap<String, Observed>, AdminError> {
        let mut observed = self.shapes().await?;
        let known: Vec<&str> = names.iter().copied().filter(|name| observed.contains_key(*name)).collect();
        for (name, resource) in self.described(&known).await? {
            if let Some(topic) = observed.get_mut(&name) {
                topic.config = resource.entries.into_iter().filter_map(|e| Some((e.name, e.value?))).collect();
            }
        }
        Ok(observed)
    }

    /// Partitions and replication of every topic, Kafka's own aside. Configuration is empty, and records are taken to be
    /// there, until asked for.
    async fn shapes(&self) -> Result<BTreeMap<String, Observed>, AdminError> {
        let client = Arc::clone(&self.0);
        let answer = blocking(move || client.inner().fetch_metadata(None, REQUEST_TIMEOUT)).await;
        let metadata = answer.map_err(unavailable("a request for its topics"))?;
        let topics = metadata.topics().iter().filter(|topic| !topic.name().starts_with("__"));
        Ok(topics
            .map(|topic| {
                let partitions = topic.partitions();
                let count = |n: usize| i32::try_from(n).expect("Kafka counts them in an int32");
                let replication = count(partitions.first().map_or(0, |partition| partition.replicas().len()));
                let observed = Observed {
                    partitions: count(partitions.len()),
                    replication,
                    config: BTreeMap::new(),
                    has_records: true,
                };
                (topic.name().to_owned(), observed)
            })
            .collect())
    }

    async fn described(&self, topics: &[&str]) -> Result<Vec<(String, ConfigResource)>, AdminError> {
        const WHAT: &str = "a request for its topics' configuration";
        let mut described = Vec::with_capacity(topics.len());
        for some in topics.chunks(DESCRIBED_AT_ONCE) {
            let resources: Vec<_> = some.iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
            let answers = self.0.describe_configs(&resources, &options()).await.map_err(unavailable(WHAT))?;
            for (topic, answer) in some.iter().zip(answers) {
                let resource = answer.map_err(|code| failed("describe the configuration", topic, code))?;
                described.push(((*topic).to_owned(), resource));
            }
        }
        Ok(described)
    }

    async fn has_records(&self, topic: &str, partitions: i32) -> Result<bool, AdminError> {
        let (client, topic) = (Arc::clone(&self.0), topic.to_owned());
        let answer = blocking(move || {
            for partition in 0..partitions {
                let (low, high) = watermarks(&client, &topic, partition)?;
                if low < high {
                    return Ok(true);
                }
            }
            Ok(false)
        });
        answer.await.map_err(unavailable("a request for a topic's offsets"))
    }

    async fn create(&self, steps: &[Step]) -> Result<(), AdminError> {
        let mut new = Vec::new();
        for Step { topic, change, .. } in steps {
            if let Change::Create { partitions, replication, config } = change {
                let topic = NewTopic::new(topic, *partitions, TopicReplication::Fixed(*replication));
                new.push(config.iter().fold(topic, |topic, (key, value)| topic.set(key, value)));
            }
        }
        if new.is_empty() {
            return Ok(());
        }
        let answers = self.0.create_topics(&new, &options()).await.map_err(unavailable("a request for new topics"))?;
        for answer in answers {
            match answer {
                // Somebody else applied the same plan at the same time.
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((topic, code)) => return Err(failed("allow the creation", &topic, code)),
            }
        }
        Ok(())
    }

    async fn add_partitions(&self, steps: &[Step]) -> Result<(), AdminError> {
        let mut more = Vec::new();
        for Step { topic, change, .. } in steps {
            if let Change::Partitions { to, .. } = change {
                more.push(NewPartitions::new(topic, usize::try_from(*to).unwrap_or_default()));
            }
        }
        if more.is_empty() {
            return Ok(());
        }
        let answers =
            self.0.create_partitions(&more, &options()).await.map_err(unavailable("a request for partitions"))?;
        for answer in answers {
            answer.map_err(|(topic, code)| failed("add partitions", &topic, code))?;
        }
        Ok(())
    }

    /// librdkafka's `AlterConfigs` replaces a topic's whole configuration, so what else is set on the topic is sent along.
    /// Between the two requests another client's change could be lost; there is no incremental call in rdkafka 0.39.
    async fn configure(&self, steps: &[Step]) -> Result<(), AdminError> {
        let mut changes: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
        for Step { topic, change, .. } in steps {
            if let Change::Config(config) = change {
                changes.entry(topic).or_default().insert(&config.key, &config.to);
            }
        }
        let topics: Vec<&str> = changes.keys().copied().collect();
        let current = self.described(&topics).await?;
        let mut alter = Vec::with_capacity(current.len());
        for (topic, resource) in &current {
            let set = resource.entries.iter().filter(|entry| entry.source == ConfigSource::DynamicTopic);
            let mut entries: HashMap<&str, &str> =
                set.filter_map(|entry| Some((entry.name.as_str(), entry.value.as_deref()?))).collect();
            entries.extend(&changes[topic.as_str()]);
            alter.push(AlterConfig { specifier: ResourceSpecifier::Topic(topic), entries });
        }
        if alter.is_empty() {
            return Ok(());
        }
        let answers =
            self.0.alter_configs(&alter, &options()).await.map_err(unavailable("a change of configuration"))?;
        for (answer, topic) in answers.into_iter().zip(topics) {
            answer.map_err(|(_, code)| failed("change the configuration", topic, code))?;
        }
        Ok(())
    }
}

/// The first and the next offset. A partition that is being made or moved has no leader for a moment.
fn watermarks(
    client: &AdminClient<DefaultClientContext>,
    topic: &str,
    partition: i32,
) -> Result<(i64, i64), KafkaError> {
    use RDKafkaErrorCode::{LeaderNotAvailable, NotLeaderForPartition, UnknownPartition, UnknownTopicOrPartition};
    let deadline = Instant::now() + REQUEST_TIMEOUT;
    loop {
        let answer = client.inner().fetch_watermarks(topic, partition, REQUEST_TIMEOUT);
        let code = answer.as_ref().err().and_then(KafkaError::rdkafka_error_code);
        match code {
            Some(LeaderNotAvailable | NotLeaderForPartition | UnknownPartition | UnknownTopicOrPartition)
                if Instant::now() < deadline =>
            {
                std::thread::sleep(LOOK_AGAIN);
            }
            _ => return answer,
        }
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT)).operation_timeout(Some(OPERATION_TIMEOUT))
}

fn unavailable(what: &'static str) -> impl FnOnce(KafkaError) -> AdminError {
    move |source| AdminError::Unavailable { what, source }
}

fn failed(what: &'static str, topic: &str, code: RDKafkaErrorCode) -> AdminError {
    AdminError::Topic { what, topic: topic.to_owned(), code }
}

/// librdkafka's metadata calls wait on the calling thread.
async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, KafkaError> + Send + 'static,
) -> Result<T, KafkaError> {
    tokio::task::spawn_blocking(call).await.unwrap_or(Err(KafkaError::Canceled))
}
