//! Least privilege: every role does all of its work with what `coafi acls` gives it, by Kafka's own tool, at a broker that refuses
//! everything else; and nobody can do what is another role's.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use coafi_testcontainers::SecuredKafka;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use serde_json::json;

use crate::event::attributes;
use crate::http;
use crate::process::{Ended, Process, eventually};
use crate::repositories::Repository;
use crate::stack::Stack;
use crate::tools::kafka;
use crate::topic::{Record, create, ends};
use crate::world::World;

const PASSWORD: &str = "correct-horse";
const ROLES: [&str; 10] = [
    "consume",
    "connect-git",
    "connect-schedule",
    "connect-bitt",
    "connect-federated",
    "api",
    "look",
    "operate",
    "administer",
    "audit",
];
/// Another domain's, which gives access to it itself.
const SPACE: &str = "space.events";
/// Somebody whom the broker knows and who was given nothing.
const NOBODY: &str = "nobody";
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

const ROUTES: &str = "  - name: api-requests
    match: {type: api.request, topic: coafi.api}
    handler: api_request
  - name: schedules
    match: {type: schedule.fired, topic: coafi.schedule}
    handler: log
";

struct Secured {
    world: World,
    broker: SecuredKafka,
}

impl Secured {
    fn new() -> Self {
        let users: Vec<(&str, &str)> = ROLES.iter().chain([&NOBODY]).map(|&role| (role, PASSWORD)).collect();
        let broker = SecuredKafka::start(&users).unwrap();
        let stack = Stack { kafka: broker.kafka.bootstrap_servers(), ..Stack::shared() };
        let world = World::over_git(stack, "acls");
        for topic in [
            "coafi.api",
            "coafi.results",
            "coafi.ai",
            "coafi.schedule",
            "coafi.schedule.ledger",
            "coafi.connect.wakes",
            "coafi.dlq.state",
            "coafi.notifications",
            "coafi.federated",
            "coafi.bitt",
        ] {
            world.also_declare(topic);
        }
        world.change_routes(|routes| routes + ROUTES);
        fs::write(world.path("password"), PASSWORD).unwrap();
        create(&world.stack.kafka, SPACE, 1 << 20);
        Self { world, broker }
    }

    /// Gives a role what `coafi` says that it needs.
    fn grant(&self, role: &str) {
        let principal = format!("User:{role}");
        let said = self.world.run(&["acls", role, "--principal", &principal]).well();
        for line in said.lines() {
            // As a shell would: only the name of every group is quoted.
            let words: Vec<&str> = line.split(' ').map(|word| word.trim_matches('\'')).collect();
            assert_eq!(&words[..3], &["kafka-acls", "--bootstrap-server", &*self.world.stack.kafka], "{line}");
            let ended = kafka("AclCommand", &words[1..]);
            assert_eq!(ended.code(), Some(0), "{line}: {ended:?}");
        }
    }

    /// `coafi` as somebody else.
    fn command(&self, role: &str, args: &[&str]) -> Command {
        let mut command = self.world.command(args);
        command.arg("--config").arg(self.configuration(role));
        command.env("COAFI__KAFKA__BOOTSTRAP_SERVERS", &self.broker.secured_servers);
        command
    }

    fn run(&self, role: &str, args: &[&str]) -> Ended {
        Process::start(self.command(role, args)).ended()
    }

    fn configuration(&self, role: &str) -> PathBuf {
        let (file, password) = (self.world.path(&format!("{role}.yaml")), self.world.path("password"));
        let key = self.world.path("api-key");
        let keys = if key.exists() { fs::read_to_string(key).unwrap() } else { String::new() };
        let client = |indent: &str| {
            format!(
                "{indent}client:
{indent}  security.protocol: SASL_SSL
{indent}  sasl.mechanism: SCRAM-SHA-256
{indent}  sasl.username: {role}
{indent}  ssl.ca.location: {}
{indent}client_files:
{indent}  sasl.password: {}
",
                self.broker.certificate.display(),
                password.display(),
            )
        };
        let text = format!(
            "kafka:
{}bitt:
  start: earliest
  watch: [{{name: everything, type: EVENT_PROCESSED}}]
federated:
  domains:
    - name: space
      topics: [{SPACE}]
      authentication: transport
      bootstrap_servers: {}
{}schedules:
  - {{name: nightly, cron: 0 0 1 1 *}}
api:
  listen: 127.0.0.1:0
{keys}",
            client("  "),
            self.broker.secured_servers,
            client("      "),
        );
        fs::write(&file, text).unwrap();
        file
    }

    fn client(&self, role: &str) -> ClientConfig {
        let mut client = ClientConfig::new();
        client
            .set("bootstrap.servers", &self.broker.secured_servers)
            .set("security.protocol", "SASL_SSL")
            .set("sasl.mechanism", "SCRAM-SHA-256")
            .set("sasl.username", role)
            .set("sasl.password", PASSWORD)
            .set("ssl.ca.location", self.broker.certificate.to_str().unwrap());
        client
    }

    fn may_write(&self, role: &str, topic: &str) -> bool {
        let producer: ThreadedProducer<Refusals> = self.client(role).create_with_context(Refusals::default()).unwrap();
        producer.send(BaseRecord::<(), [u8]>::to(topic).partition(0).payload(b"by a stranger")).unwrap();
        producer.flush(ANSWER_LIMIT).unwrap();
        let refused = producer.context().0.lock().unwrap().take();
        is_allowed(refused.map_or(Ok(()), Err))
    }

    fn may_read(&self, role: &str, topic: &str) -> bool {
        let mut client = self.client(role);
        client.set("group.id", "coafi-scan").set("enable.partition.eof", "true").set("auto.offset.reset", "earliest");
        let consumer: BaseConsumer = client.create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
        consumer.assign(&list).unwrap();
        // Of a topic that may not even be described no record is asked for.
        let metadata = consumer.fetch_metadata(Some(topic), ANSWER_LIMIT).unwrap();
        if let Some(error) = metadata.topics()[0].error() {
            return is_allowed(Err(KafkaError::MetadataFetch(error.into())));
        }
        match consumer.poll(ANSWER_LIMIT).expect("an answer") {
            Ok(_) | Err(KafkaError::PartitionEOF(_)) => true,
            Err(error) => is_allowed(Err(error)),
        }
    }
}

/// A refusal is one; anything else is no answer to the question.
fn is_allowed(result: Result<(), KafkaError>) -> bool {
    match result.map_err(|error| (error.rdkafka_error_code(), error)) {
        Ok(()) => true,
        Err((Some(RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::GroupAuthorizationFailed), _)) => {
            false
        }
        Err((_, error)) => panic!("{error}"),
    }
}

#[derive(Default)]
struct Refusals(std::sync::Mutex<Option<KafkaError>>);

impl ClientContext for Refusals {}

impl ProducerContext for Refusals {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.0.lock().unwrap().get_or_insert_with(|| error.clone());
        }
    }
}

#[test]
fn every_role_does_its_work_with_what_it_is_given_and_nobody_does_anothers() {
    let secured = Secured::new();
    for role in ROLES {
        secured.grant(role);
    }
    let servers = ["--bootstrap-server", &secured.world.stack.kafka];
    let space = ["--add", "--allow-principal", "User:connect-federated", "--operation", "Read", "--topic", SPACE];
    assert_eq!(kafka("AclCommand", &[&servers[..], &space].concat()).code(), Some(0));
    let message = Record { value: Some(b"{}".to_vec()), ..attributes("SystemUpdateNotification", "/space") };
    let message = message.without("content-type").with("content-type", "application/json");
    secured.world.producer.send(SPACE, &message);
    works(&secured);
    is_refused(&secured);
}

fn works(secured: &Secured) {
    let world = &secured.world;
    let repository = Repository::init(world.path("repository"));
    repository.commit_file("docs/a.md", "# A\n");
    let url = repository.path.to_str().unwrap();
    secured.run("administer", &["topics", "apply", "--replication-factor", "1"]).well();
    let published = secured.run("connect-git", &["connect", "git", "--repo", url, "--once", "--output", "json"]).json();
    assert!(published["events"].as_u64() >= Some(1), "{published}");
    secured.run("connect-schedule", &["schedule", "trigger", "nightly"]).well();
    let request = asked(secured);

    // One that cannot be handled, so that there is something to send again.
    let broken = world.push("broken");
    let broken = Record { value: Some(b"no Avro".to_vec()), ..broken };
    world.send(&broken);
    let consumed = ["consume", "--exit-when-idle", "1s", "--output", "json"];
    let summary = secured.run("consume", &consumed).json();
    assert_eq!(summary["lag"], 0, "{summary}");
    let ended: Vec<String> = world.outcomes().into_iter().map(|outcome| outcome.outcome).collect();
    assert!(ended.iter().filter(|outcome| *outcome == "processed").count() >= 3, "{ended:?}");

    for (connector, topic) in [("bitt", "coafi.bitt"), ("federated", "coafi.federated")] {
        let process = Process::start(secured.command(&format!("connect-{connector}"), &["connect", connector]));
        eventually(topic, || ends(&world.stack.kafka, topic).values().sum::<i64>() > 0);
        process.terminate();
        process.ended().well();
    }

    let lag = secured.run("look", &["group", "lag", "--output", "json"]).json();
    assert_eq!(lag["total"], 0, "{lag}");
    let letters = secured.run("look", &["dlq", "list", "--output", "json"]).json();
    assert!(!letters["letters"].as_array().unwrap().is_empty(), "{letters}");
    secured.run("look", &["event", "show", &request]).well();
    assert_eq!(secured.run("look", &["topics", "plan", "--replication-factor", "1"]).code(), Some(0));

    // It is sent, and fails as it did.
    let replica = Process::start(secured.command("consume", &["consume"]));
    let again = ["dlq", "redrive", "--topic", "coafi.git", "--reason", "acls", "--output", "json"];
    let redriven = secured.run("operate", &again);
    assert_eq!(redriven.code(), Some(1), "{redriven:?}");
    assert!(redriven.stdout.contains("dead_lettered"), "{redriven:?}");
    replica.terminate();
    replica.ended().well();
}

/// A request of the API's, by its id, once it is accepted.
fn asked(secured: &Secured) -> String {
    let made = secured.world.run(&["api", "key", "all", "--permission", "api:*"]).well();
    let key = made.lines().find_map(|line| line.strip_prefix("key: ")).expect("a key");
    let (_, entry) = made.split_once("coafi.yaml:\n").expect("an entry to write down");
    let entry: String = entry.lines().map(|line| format!("  {line}\n")).collect();
    fs::write(secured.world.path("api-key"), format!("  keys:\n{entry}")).unwrap();
    let api = Process::start(secured.command("api", &["api"]));
    let address = api.served("serving the API");
    let body = json!({"registryId": "parts", "entryId": "wing-7", "data": {"status": "approved"}}).to_string();
    let headers = [("X-API-Key", key), ("Content-Type", "application/json")];
    let answer = http::ask("POST", &format!("http://{address}/registry/update"), &headers, &body).expect("an answer");
    assert_eq!(answer.status, 202, "{answer:?}");
    let id = answer.json()["requestId"].as_str().unwrap().to_owned();
    // Replies are read: until all of them are, it is not known that there is none.
    eventually("a request that is pending", || {
        let asked = http::ask("GET", &format!("http://{address}/requests/{id}"), &headers, "").expect("an answer");
        asked.status == 200 && asked.json()["status"] == "pending"
    });
    id
}

fn is_refused(secured: &Secured) {
    for (role, writes, reads) in [
        (NOBODY, "coafi.git", "coafi.git"),
        ("consume", "coafi.git", "coafi.ai"),
        ("connect-git", "coafi.bitt.records", "coafi.bitt.records"),
        ("connect-schedule", "coafi.git", "coafi.api"),
        ("connect-bitt", "coafi.bitt.records", "coafi.git"),
        ("connect-federated", "coafi.bitt", "coafi.federated"),
        ("api", "coafi.bitt.records", "coafi.api"),
        ("look", "coafi.api", ""),
        ("operate", "coafi.results", ""),
        ("administer", "coafi.git", ""),
        ("audit", "coafi.bitt.records", "coafi.git"),
    ] {
        assert!(!secured.may_write(role, writes), "{role} may write to {writes}");
        assert!(reads.is_empty() || !secured.may_read(role, reads), "{role} may read {reads}");
    }
    let consumer: BaseConsumer = secured.client(NOBODY).create().unwrap();
    let seen = consumer.fetch_metadata(None, ANSWER_LIMIT).unwrap();
    assert!(seen.topics().is_empty(), "nobody sees {} topics", seen.topics().len());
    assert!(secured.may_read("audit", "coafi.bitt.records"));
    assert!(secured.may_write("api", "coafi.api"), "the question can be answered with yes");
    let ended = secured.run(NOBODY, &["group", "lag"]);
    assert_ne!(ended.code(), Some(0), "{ended:?}");
    assert!(ended.stderr.contains("uthoriz"), "what is wrong is said: {ended:?}");
    assert!(ended.stderr.contains("coafi acls"), "what to do is said: {ended:?}");
}
