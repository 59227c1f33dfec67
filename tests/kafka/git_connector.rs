//! The git connector on a real Kafka: what is in the topic is what is in the repository, whoever dies when.

#[path = "../support/repositories.rs"]
mod repositories;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coafi::connectors::git::{
    Address, ConnectorError, GitConnector, Limits, Phase, Progress, RepositorySettings, Sharing, Start,
};
use coafi::connectors::publish_event::{EventToSend, SendError, prepare, send};
use coafi::connectors::{Delivery, LagBased, PublishError, Publisher, PublisherSettings, SourceId};
use coafi::kafka::Embedded;
use coafi::schema::payloads::GitCommit;
use coafi::schema::registry::{Client, Settings};
use coafi::schema::{BuiltinRegistry, Codec};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::{ClientConfig, TopicPartitionList};
use repositories::{Repository, generate_documents, random_history};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Nothing here takes this long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(90);

fn kafka() -> ClientConfig {
    let servers = std::env::var("COAFI_TEST_KAFKA")
        .expect("COAFI_TEST_KAFKA is host:port of a Kafka for tests; `make test` starts one and sets it");
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", servers);
    client
}

/// Topics of one test, a registry, and the cluster.
struct World {
    client: ClientConfig,
    codec: Codec,
    events: String,
    offsets: String,
    group: String,
    _registry: BuiltinRegistry,
}

impl World {
    async fn new(offset_partitions: i32) -> Self {
        let world = Self::on(kafka(), &format!("t{}", uuid::Uuid::now_v7().simple())).await;
        let admin: AdminClient<_> = world.client.create().unwrap();
        let offsets = NewTopic::new(&world.offsets, offset_partitions, TopicReplication::Fixed(1));
        let topics =
            [NewTopic::new(&world.events, 4, TopicReplication::Fixed(1)), offsets.set("cleanup.policy", "compact")];
        for made in admin.create_topics(&topics, &AdminOptions::new()).await.unwrap() {
            made.unwrap();
        }
        world
    }

    /// With topics that are there already.
    async fn on(client: ClientConfig, name: &str) -> Self {
        let registry = BuiltinRegistry::start(&[]).await.unwrap();
        let codec = Codec::new(Client::new(Settings::new(registry.url())).unwrap(), true);
        let (events, offsets, group) = (format!("{name}.git"), format!("{name}.offsets"), format!("{name}.connect"));
        Self { client, codec, events, offsets, group, _registry: registry }
    }

    fn publisher(&self) -> PublisherSettings {
        let mut settings = PublisherSettings::new(self.client.clone(), self.codec.clone());
        settings.offsets_topic = self.offsets.clone();
        settings
    }

    fn connector(&self, repositories: &[&Repository], limits: Limits) -> GitConnector {
        let watched = repositories.iter().map(|repository| {
            let address = Address::parse(&repository.url(), Path::new("/")).unwrap();
            let mut settings = RepositorySettings::new(address);
            settings.start = Start::History;
            settings.limits = limits;
            settings.poll.interval = Duration::from_millis(100);
            settings.poll.backoff = Duration::from_millis(50);
            settings
        });
        let mut connector = GitConnector::new(watched.collect(), self.codec.clone(), self.publisher());
        connector.topic = self.events.as_str().into();
        connector.sharing = Sharing::Group(self.group.clone());
        connector
    }

    /// All committed events: partition, key, and commit; ordered within a partition.
    async fn committed(&self) -> Vec<(i32, String, GitCommit)> {
        let mut client = self.client.clone();
        client
            .set("group.id", format!("{}.check", self.group))
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true");
        let consumer: BaseConsumer = client.create().unwrap();
        let mut all = TopicPartitionList::new();
        for partition in 0..4 {
            all.add_partition_offset(&self.events, partition, rdkafka::Offset::Beginning).unwrap();
        }
        consumer.assign(&all).unwrap();
        let (mut found, mut ended, deadline) =
            (Vec::new(), std::collections::BTreeSet::new(), Instant::now() + PATIENCE);
        while ended.len() < 4 {
            assert!(Instant::now() < deadline, "the topic's end was not reached");
            match consumer.poll(Duration::from_millis(100)) {
                None => {}
                Some(Err(rdkafka::error::KafkaError::PartitionEOF(partition))) => drop(ended.insert(partition)),
                Some(Err(error)) => panic!("{error}"),
                Some(Ok(message)) => {
                    let header = message.headers().unwrap().iter().find(|header| header.key == "ce_type").unwrap();
                    if header.value == Some(b"git.commit") {
                        let commit = self.codec.decode_avro(message.payload().unwrap()).await.unwrap();
                        let key = String::from_utf8(message.key().unwrap().to_vec()).unwrap();
                        found.push((message.partition(), key, commit));
                    }
                }
            }
        }
        found
    }
}

/// A connector that runs.
struct Run {
    stop: CancellationToken,
    progress: watch::Receiver<Progress>,
    task: JoinHandle<Result<Progress, ConnectorError>>,
}

impl Run {
    fn start(connector: GitConnector) -> Self {
        let (stop, (sender, progress)) = (CancellationToken::new(), watch::channel(Progress::default()));
        let task = tokio::spawn(connector.run(stop.clone(), sender));
        Self { stop, progress, task }
    }

    async fn until(&mut self, what: &str, is: impl FnMut(&Progress) -> bool) -> Progress {
        let last = self.progress.clone();
        let waited = tokio::time::timeout(PATIENCE, self.progress.wait_for(is)).await;
        waited
            .unwrap_or_else(|_| panic!("{what} did not happen: {:?}", *last.borrow()))
            .expect("the connector ended")
            .clone()
    }

    /// As a crash: nothing is awaited; what its blocking threads are in the middle of goes on, as a zombie's work does.
    fn kill(self) {
        self.task.abort();
    }

    async fn stop(self) -> Result<Progress, ConnectorError> {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.expect("it drains").unwrap()
    }
}

fn shas(repository: &Repository, committed: &[(i32, String, GitCommit)]) -> Vec<String> {
    let key = Address::parse(&repository.url(), Path::new("/")).unwrap().id;
    let of = committed.iter().filter(|(_, found, _)| found == key.as_str());
    let partitions: std::collections::BTreeSet<i32> = of.clone().map(|(partition, _, _)| *partition).collect();
    assert!(partitions.len() <= 1, "one key, one partition");
    of.map(|(_, _, commit)| commit.commit_sha.clone()).collect()
}

fn history(repository: &Repository) -> Vec<String> {
    repository.lines(&["rev-list", "--reverse", "HEAD"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_every_transaction_it_repeats_and_skips_nothing() {
    let world = World::new(1).await;
    let dir = tempfile::tempdir().unwrap();
    let repository = generate_documents(dir.path(), 60);
    let limits = Limits { events: 7, ..Limits::default() };
    for killed in 0..40 {
        let mut connector = world.connector(&[&repository], limits);
        connector.sharing = Sharing::Alone;
        let mut run = Run::start(connector);
        // Every other one dies as soon as it has something to publish, wherever its transaction is by then.
        let early = killed % 2 == 0;
        let progress = run
            .until("publishing", |p| {
                p.is_up_to_date()
                    || p.published() > 0
                    || early && p.repositories.values().any(|r| r.phase == Phase::Publishing)
            })
            .await;
        run.kill();
        if progress.is_up_to_date() {
            break;
        }
    }
    let mut connector = world.connector(&[&repository], limits);
    connector.sharing = Sharing::Alone;
    connector.once = true;
    connector.run(CancellationToken::new(), watch::channel(Progress::default()).0).await.unwrap();
    assert_eq!(shas(&repository, &world.committed().await), history(&repository));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_connector_stands_by_and_takes_over() {
    let world = World::new(1).await;
    let dir = tempfile::tempdir().unwrap();
    let repository = Repository::init(dir.path());
    repository.commit_file("a.md", "1");
    let mut first = Run::start(world.connector(&[&repository], Limits::default()));
    first.until("the first publishing", Progress::is_up_to_date).await;
    let mut second = Run::start(world.connector(&[&repository], Limits::default()));
    for n in 0..3 {
        repository.commit_file("a.md", &format!("first {n}"));
        // A commit and its push each time.
        first.until("a commit", |p| p.published() >= 3 + 2 * n).await;
    }
    let standing = second.until("standing by", |p| !p.repositories.is_empty()).await;
    assert!(standing.repositories.values().all(|r| r.phase == Phase::StandingBy && r.published == 0), "{standing:?}");
    first.stop().await.unwrap();
    repository.commit_file("a.md", "second");
    second.until("taking over", |p| p.published() >= 2).await;
    second.stop().await.unwrap();
    assert_eq!(shas(&repository, &world.committed().await), history(&repository));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_claims_a_source_fences_who_had_it() {
    let world = World::new(3).await;
    let source = SourceId::new("git", "file:///srv/r");
    let settings = world.publisher();
    let offset = |n: u32| [("part".to_owned(), Some(serde_json::json!({"v": 1, "n": n})))];
    let (first, parts) = Publisher::claim(&settings, &source, "first", 0).await.unwrap();
    assert!(parts.is_empty());
    first.publish(Vec::new(), offset(1), 0).await.unwrap();
    let (second, parts) = Publisher::claim(&settings, &source, "second", 0).await.unwrap();
    assert_eq!(parts["part"]["n"], 1);
    let refused = first.publish(Vec::new(), offset(2), 0).await;
    assert!(matches!(refused, Err(PublishError::Fenced { .. })), "{refused:?}");
    second.publish(Vec::new(), offset(3), 0).await.unwrap();
    second.publish(Vec::new(), [("gone".to_owned(), None)], 0).await.unwrap();
    let other = SourceId::new("git", "file:///srv/r2");
    assert!(Publisher::claim(&settings, &other, "other", 0).await.unwrap().1.is_empty(), "sources are apart");
    let (_, parts) = Publisher::claim(&settings, &source, "third", 0).await.unwrap();
    assert_eq!((parts.len(), &parts["part"]["n"]), (1, &serde_json::json!(3)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_repository_does_not_stop_the_others() {
    let world = World::new(3).await;
    let dir = tempfile::tempdir().unwrap();
    let good = random_history(dir.path().join("good"), 11, 80, 1);
    let empty = Repository::init(dir.path().join("empty"));
    let missing = Repository { path: dir.path().join("missing") };
    let mut connector = world.connector(&[&good, &empty, &missing], Limits::default());
    connector.once = true;
    let error = connector.run(CancellationToken::new(), watch::channel(Progress::default()).0).await.unwrap_err();
    let ConnectorError::Failed(failed) = &error else { panic!("{error}") };
    assert_eq!(failed.len(), 1, "{error}");
    assert!(error.to_string().contains("missing"), "{error}");
    let published: std::collections::BTreeSet<String> = shas(&good, &world.committed().await).into_iter().collect();
    assert_eq!(published, history(&good).into_iter().collect());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sent_event_meets_the_connector_s_and_another_key_is_refused() {
    let world = World::new(1).await;
    let dir = tempfile::tempdir().unwrap();
    let repository = Repository::init(dir.path());
    let sha = repository.commit_file("a.md", "1");
    let mut connector = world.connector(&[&repository], Limits::default());
    connector.once = true;
    connector.run(CancellationToken::new(), watch::channel(Progress::default()).0).await.unwrap();
    world.codec.encoder::<GitCommit>(&world.events).await.unwrap();
    let event = EventToSend {
        event_type: "git.commit".to_owned(),
        topic: world.events.clone(),
        data: serde_json::json!({"commitSha": sha, "repositoryUrl": ".", "branch": "main",
            "author": "Ada <ada@example.org>", "message": "simulated"}),
        base: dir.path().to_owned(),
        ..EventToSend::default()
    };
    let record = prepare(&world.codec, event.clone(), 5).await.unwrap();
    let sent = send(&world.client, &record).await.unwrap();
    assert_eq!(sent.id, format!("main@{sha}"));
    let committed = world.committed().await;
    assert_eq!(shas(&repository, &committed), [sha.clone(), sha], "in one partition, under one key");
    let other = EventToSend { key: Some("other".to_owned()), ..event.clone() };
    assert!(matches!(prepare(&world.codec, other, 5).await, Err(SendError::Key { .. })));
    let mut wrong = event;
    wrong.data["branch"] = serde_json::json!(7);
    let error = prepare(&world.codec, wrong, 5).await.unwrap_err().to_string();
    assert!(error.contains("branch: expected text, not 7"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_the_embedded_cluster_a_source_waits_for_its_consumers() {
    let cluster = Embedded::start(&[("t.git", 1), ("t.offsets", 1)]).unwrap();
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", cluster.bootstrap_servers());
    let world = World::on(client, "t").await;
    let dir = tempfile::tempdir().unwrap();
    // Some 12 MB of events, and a partition keeps 5.
    let repository = generate_documents(dir.path(), 20_000);
    let mut connector = world.connector(&[&repository], Limits { events: 500, ..Limits::default() });
    connector.publisher.delivery = Delivery::Idempotent;
    connector.sharing = Sharing::Alone;
    connector.admission = Arc::new(LagBased::new(&world.client, "readers", &world.events).unwrap());
    let run = Run::start(connector);
    let (client, topic) = (world.client.clone(), world.events.clone());
    let reading = tokio::task::spawn_blocking(move || read_slowly(client, &topic, 20_000));
    let read = reading.await.unwrap();
    run.stop().await.unwrap();
    let key = Address::parse(&repository.url(), Path::new("/")).unwrap().id;
    let expected: Vec<String> = history(&repository).iter().map(|sha| format!("main@{sha}")).collect();
    assert_eq!(read, expected, "of {key}");
}

/// Reads ids from all partitions in steps, committing after each: between two steps the source runs into its bound.
fn read_slowly(mut client: ClientConfig, topic: &str, count: usize) -> Vec<String> {
    client.set("group.id", "readers").set("auto.offset.reset", "earliest").set("enable.auto.commit", "false");
    let consumer: BaseConsumer = client.create().unwrap();
    consumer.subscribe(&[topic]).unwrap();
    let (mut ids, deadline) = (Vec::new(), Instant::now() + PATIENCE);
    while ids.len() < count {
        assert!(Instant::now() < deadline, "{} of {count} events came", ids.len());
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        let message = message.unwrap();
        let id = message.headers().unwrap().iter().find(|header| header.key == "ce_id").unwrap();
        ids.push(String::from_utf8(id.value.unwrap().to_vec()).unwrap());
        if ids.len() % 1_000 == 0 {
            consumer.commit_message(&message, CommitMode::Sync).unwrap();
        }
    }
    ids
}
