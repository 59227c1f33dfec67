//! Every topic, read with Confluent's Python client and fastavro, the CloudEvents and OpenTelemetry SDKs, and kcat.

use std::collections::{BTreeMap, BTreeSet};

use coafi_testcontainers::Kafka;
use serde_json::{Value, json};

use crate::edges::{self, EVENTS, FEDERATED, FIRES, LEDGER, NOTIFICATIONS, REPLIES, REQUESTS, WAKES, WATCHED};
use crate::event::{attributes, commit_data};
use crate::page;
use crate::repositories::Repository;
use crate::stack::Stack;
use crate::tools::{kcat, objects, printed, python};
use crate::topic::{Positions, Record, read};
use crate::world::{GIT_TOPIC, UNPROCESSED, World, repository};

const AUDIT: &str = "coafi.bitt.records";
/// State of connectors.
const OFFSETS: &str = "coafi.connect.offsets";
/// State of replicas: the last record of a replica that has ended is a tombstone.
const STATUS: &str = "coafi.status";
/// State of dead letters.
const LETTERS: &str = "coafi.dlq.state";
/// Whose records are no events.
const STATES: [&str; 3] = [OFFSETS, STATUS, LETTERS];
const DEAD: &str = "coafi.git.dlq";

/// What stands in which topic after everything has happened that can happen to an event.
const SCHEMAS: [(&str, &[&str]); 17] = [
    (GIT_TOPIC, &["org.coafi.events.GitCommitEventPayload", "org.coafi.events.GitPushEventPayload"]),
    ("coafi.git.retry.1s", &["org.coafi.events.GitCommitEventPayload"]),
    (DEAD, &["org.coafi.events.GitCommitEventPayload"]),
    (UNPROCESSED, &["org.coafi.events.GitPushEventPayload"]),
    (AUDIT, &["org.coafi.bitt.Intervention", "org.coafi.bitt.Outcome", "org.coafi.bitt.Receipt"]),
    ("coafi.workflow", &["org.coafi.events.WorkflowRequestedEventPayload"]),
    (OFFSETS, &["org.coafi.connect.SourceOffset"]),
    (LETTERS, &["org.coafi.dlq.Claim", "org.coafi.dlq.LetterState"]),
    (REQUESTS, &["org.coafi.events.ApiRequestEventPayload"]),
    (REPLIES, &["org.coafi.events.ApiReplyEventPayload"]),
    (FIRES, &["org.coafi.events.ScheduleFiredEventPayload"]),
    (LEDGER, &["org.coafi.schedule.Decision"]),
    (NOTIFICATIONS, &["org.coafi.events.NotificationRequestedEventPayload"]),
    (FEDERATED, &["org.coafi.events.FederatedMessagePayload"]),
    (WATCHED, &["org.coafi.events.BittRecordPayload"]),
    // What callers say, as JSON.
    (EVENTS, &[]),
    // Keys are all that there is.
    (WAKES, &[]),
];

/// Declared in `topics/`, and written by nobody here; and why. Whoever writes to one takes it out.
const WRITTEN_BY_NOBODY: [(&str, &str); 2] = [
    ("coafi.app", "there is no in-process bus"),
    ("coafi.knowledge", "there is no crawler; what is ingested is in coafi.ai, of whatever type it is"),
];

/// Records of the history that come to an end: a commit each from the connector, five of others, and what came in elsewhere.
const ENDS: usize = COMMITS + 5 + edges::ENDS;
const COMMITS: usize = 3;

/// A cluster with events that were processed, retried by topic, dead-lettered, redriven, purged and not recognised, from the
/// git connector and from others.
struct Cluster {
    world: World,
    repository: Repository,
    poison: Vec<Vec<u8>>,
    _kafka: Kafka,
}

impl Cluster {
    fn with_history() -> Self {
        // Of its own: on the shared one stand the records of all other tests, bad ones too.
        let kafka = Kafka::start().unwrap();
        let world = World::over_git(Stack { kafka: kafka.bootstrap_servers(), ..Stack::shared() }, "others");
        world.also_declare(LETTERS);
        let repository = Repository::init(world.path("repository"));
        for n in 0..COMMITS {
            repository.commit_file("docs/a.md", &format!("# Revision {n}\n"));
        }
        world.run(&["connect", "git", "--once", "--repo", &repository.url()]).well();
        let missing = commit_data(world.path("nowhere").to_str().unwrap(), &"7".repeat(40));
        let missing = Record { value: Some(world.commits.encode(&missing)), ..attributes("git.commit", "/others") };
        let good = world.push("good");
        let whole = good.value.clone().unwrap();
        let poison = vec![b"\xff\xfe no frame".to_vec(), whole[..whole.len() - 3].to_vec()];
        world.send(&Record { key: Some("missing".into()), ..missing });
        world.send(&good);
        world.send(&world.push("unheard-of").without("ce_type").with("ce_type", "git.unheard-of"));
        world.send(&Record { value: Some(poison[0].clone()), ..Record::default() });
        world.send(&Record { value: Some(poison[1].clone()), ..world.push("cut-off") });
        edges::happen(&world);
        let replica = world.replica();
        world.until_ended(ENDS);
        let redrive = world.run(&["dlq", "redrive", "--topic", GIT_TOPIC, "--class", "transient"]);
        assert_eq!(redrive.code(), Some(1), "it fails again: {redrive:?}");
        let purge =
            ["dlq", "purge", "--topic", GIT_TOPIC, "--class", "poison", "--reason", "no producer of ours", "--yes"];
        world.run(&purge).well();
        replica.terminate();
        assert_eq!(replica.ended().code(), Some(0));
        edges::watch(&world);
        Self { world, repository, poison, _kafka: kafka }
    }

    /// As the Python reader understands it.
    fn records(&self) -> Vec<Value> {
        let Stack { kafka, registry, .. } = &self.world.stack;
        objects(&printed(python("topics.py", &[kafka, registry])))
    }

    fn is_poison(&self, hex: &str) -> bool {
        self.poison.iter().any(|value| value.iter().map(|byte| format!("{byte:02x}")).collect::<String>() == hex)
    }
}

#[test]
fn every_topic_is_read_by_tools_of_others() {
    let cluster = Cluster::with_history();
    let records = cluster.records();
    every_value_is_decoded(&cluster, &records);
    every_event_is_a_cloud_event(&records);
    commits_are_what_git_says(&cluster, &records);
    what_was_done_with_dead_letters_is_there(&records);
    a_trace_goes_through(&records);
    what_came_in_elsewhere_is_there(&records);
    kcat_reads_the_same(&cluster, &records);
    page::does_what_it_says(&cluster.world);
}

/// A topic that somebody adds or begins to write is read by the tools of others, too, or it is said why not.
#[test]
fn every_declared_topic_is_read_or_written_by_nobody() {
    let files = std::fs::read_dir(repository().join("topics")).unwrap();
    let name = |path: std::path::PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    let declared: BTreeSet<String> = files.map(|file| name(file.unwrap().path())).collect();
    let read = SCHEMAS.iter().map(|(topic, _)| *topic).chain([STATUS]);
    let unread = WRITTEN_BY_NOBODY.iter().map(|(topic, _)| *topic);
    assert_eq!(unread.clone().filter(|topic| read.clone().any(|read| read == *topic)).collect::<Vec<_>>(), [""; 0]);
    // Retry and dead-letter topics are declared with their sources.
    let derived = |topic: &&str| topic.ends_with(".dlq") || topic.contains(".retry.");
    let known: BTreeSet<String> = read.chain(unread).filter(|topic| !derived(topic)).map(str::to_owned).collect();
    assert_eq!(declared, known);
}

fn text<'v>(record: &'v Value, member: &str) -> &'v str {
    record[member].as_str().unwrap_or_default()
}

fn of<'v>(records: &'v [Value], topic: &str) -> impl Iterator<Item = &'v Value> {
    records.iter().filter(move |record| record["topic"] == topic)
}

/// By the registry, except for what was sent as poison, which is there as it was sent: at its source and as a dead letter.
fn every_value_is_decoded(cluster: &Cluster, records: &[Value]) {
    let mut schemas: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut poison: BTreeMap<&str, usize> = BTreeMap::new();
    for record in records {
        if record.get("error").is_some() {
            assert!(cluster.is_poison(text(record, "value")), "not decoded: {record}");
            *poison.entry(text(record, "topic")).or_default() += 1;
        } else {
            schemas.entry(text(record, "topic")).or_default().extend(record["schema"].as_str());
        }
    }
    let expected: BTreeMap<&str, BTreeSet<&str>> =
        SCHEMAS.map(|(topic, names)| (topic, names.iter().copied().collect())).into();
    assert_eq!(schemas.remove(STATUS), Some(["org.coafi.operations.ReplicaStatus"].into()));
    assert_eq!(schemas, expected);
    assert_eq!(poison, [(GIT_TOPIC, 2), (DEAD, 2)].into());
}

fn every_event_is_a_cloud_event(records: &[Value]) {
    for record in records {
        let has_no_headers = record["headers"].as_object().unwrap().keys().all(|name| name.starts_with("coafi-"));
        if STATES.contains(&text(record, "topic")) {
            continue;
        }
        if has_no_headers {
            assert!(record.get("no_event").is_some(), "{record}");
            continue;
        }
        let event = &record["event"];
        let data = if record["topic"] == EVENTS { "application/json" } else { "application/avro" };
        assert_eq!((&event["specversion"], &event["datacontenttype"]), (&json!("1.0"), &json!(data)));
        for attribute in ["id", "source", "type"] {
            assert!(!text(event, attribute).is_empty(), "{attribute}: {record}");
        }
    }
}

fn commits_are_what_git_says(cluster: &Cluster, records: &[Value]) {
    let key = format!("file://{}", cluster.repository.url());
    let ours = of(records, GIT_TOPIC).filter(|record| text(record, "key") == key);
    let decoded =
        ours.filter(|record| record["event"]["type"] == "git.commit").map(|record| text(&record["data"], "commitSha"));
    let history = cluster.repository.lines(&["rev-list", "--reverse", "HEAD"]);
    assert_eq!(decoded.collect::<Vec<_>>(), history);
    // Two attempts in place and one after the retry topic: a dead letter, and another one when it was redriven.
    let outcomes = of(records, AUDIT).filter(|record| record["schema"] == "org.coafi.bitt.Outcome");
    let ended = outcomes.map(|record| &record["data"]).filter(|data| data["topic"] == DEAD_FROM);
    assert_eq!(ended.map(|data| text(data, "outcome")).collect::<Vec<_>>(), ["dead_lettered", "dead_lettered"]);
}

/// Where the record stood that failed for good.
const DEAD_FROM: &str = "coafi.git.retry.1s";

/// An audit record of each act, and of each letter its newest state.
fn what_was_done_with_dead_letters_is_there(records: &[Value]) {
    let acts = of(records, AUDIT).filter(|record| record["schema"] == "org.coafi.bitt.Intervention");
    let mut acts: Vec<_> = acts.map(|record| text(&record["data"], "action")).collect();
    acts.sort_unstable();
    assert_eq!(acts, ["EVENT_PURGED", "EVENT_PURGED", "EVENT_REDRIVEN"]);
    let states = of(records, LETTERS).filter(|record| record["schema"] == "org.coafi.dlq.LetterState");
    let newest: BTreeMap<_, _> = states.map(|record| (text(record, "key"), text(&record["data"], "status"))).collect();
    let mut newest: Vec<_> = newest.into_values().collect();
    newest.sort_unstable();
    assert_eq!(newest, ["purged", "purged", "redriven"]);
}

/// From a commit's event to its outcome and to what was derived from it.
fn a_trace_goes_through(records: &[Value]) {
    let mut followed = 0;
    for commit in of(records, GIT_TOPIC).filter(|record| record["event"]["source"].as_str() != Some("/others")) {
        let Some(id) = commit["event"]["id"].as_str().filter(|_| commit["event"]["type"] == "git.commit") else {
            continue;
        };
        assert!(commit["trace"].is_string(), "{commit}");
        let caused = records.iter().filter(|record| record["event"]["causationid"] == id);
        let topics: BTreeSet<_> = caused
            .inspect(|record| assert_eq!(record["trace"], commit["trace"], "{record}"))
            .map(|record| text(record, "topic"))
            .collect();
        assert_eq!(topics, [AUDIT, "coafi.workflow"].into());
        followed += 1;
    }
    assert_eq!(followed, COMMITS);
}

/// A request and its reply by the request's id, what was ingested as it was sent, the schedule's first fire with its decision, and
/// the source that was woken.
fn what_came_in_elsewhere_is_there(records: &[Value]) {
    let one = |topic| {
        let all: Vec<_> = of(records, topic).collect();
        assert_eq!(all.len(), 1, "{topic}: {all:?}");
        all[0]
    };
    let (request, reply) = (one(REQUESTS), one(REPLIES));
    assert_eq!((text(&request["data"], "endpoint"), text(&reply["data"], "outcome")), ("registry/update", "processed"));
    assert_eq!(
        (text(reply, "key"), &reply["data"]["requestId"]),
        (text(&request["event"], "id"), &request["data"]["requestId"])
    );
    assert_eq!(one(EVENTS)["data"], edges::ingested()["data"]);
    let fire = of(records, FIRES).next().unwrap();
    assert_eq!((text(fire, "key"), text(&fire["data"], "schedule")), ("tick", "tick"));
    let decisions: Vec<_> = of(records, LEDGER).map(|record| &record["data"]).collect();
    let decided = decisions.iter().find(|decision| decision["eventId"] == fire["event"]["id"]);
    assert_eq!(decided.map(|decision| text(decision, "decision")), Some("fired"), "{decisions:?}");
    let message = one(FEDERATED);
    assert_eq!((text(message, "key"), text(&message["event"], "type")), ("aero", "SystemUpdateNotification"));
    assert_eq!(text(&message["data"]["authentication"], "keyId"), "aero-1");
    let watched = of(records, WATCHED).next().unwrap();
    assert_eq!((text(&watched["data"], "watch"), text(&watched["data"], "recordType")), ("ends", "EVENT_PROCESSED"));
    let woken = one(WAKES);
    assert!(text(woken, "key").starts_with("git:file:///") && woken["data"].is_null(), "{woken}");
}

/// Keys, headers, offsets, and the frame of every value: magic byte and schema id, which Debian's kcat unpacks. (It is built
/// without the library that would decode Avro.)
fn kcat_reads_the_same(cluster: &Cluster, records: &[Value]) {
    let kafka = &cluster.world.stack.kafka;
    for (topic, _) in SCHEMAS {
        let args =
            ["-C", "-b", kafka, "-t", topic, "-X", "isolation.level=read_committed", "-o", "beginning", "-e", "-q"];
        let format = ["-s", "value=>bI", "-f", "%p %o %k %s %h\n"];
        let said = printed(kcat(&[&args[..], &format].concat()));
        let ids: BTreeMap<(i64, i64), &Value> = of(records, topic)
            .map(|record| ((record["partition"].as_i64().unwrap(), record["offset"].as_i64().unwrap()), &record["id"]))
            .collect();
        let expected: BTreeSet<String> = read(kafka, topic, &Positions::new())
            .into_iter()
            .map(|read| {
                let id = ids[&(read.partition.into(), read.offset)];
                let frame = id.as_i64().map_or_else(|| frame(&read.record), |id| format!("0{id}"));
                let Record { key, headers, .. } = read.record;
                let headers: Vec<_> =
                    headers.iter().map(|(name, value)| format!("{name}={}", utf8(value.as_deref()))).collect();
                format!("{} {} {} {frame} {}", read.partition, read.offset, utf8(key.as_deref()), headers.join(","))
            })
            .collect();
        assert_eq!(said.lines().map(str::to_owned).collect::<BTreeSet<_>>(), expected, "{topic}");
    }
}

/// What kcat makes of five bytes that are no frame: a signed byte and an unsigned number. Of no value it makes nothing.
fn frame(record: &Record) -> String {
    let Some(value) = record.value.as_deref() else { return String::new() };
    let number = u32::from_be_bytes(value[1..5].try_into().unwrap());
    format!("{}{number}", value[0].cast_signed())
}

fn utf8(bytes: Option<&[u8]>) -> &str {
    bytes.map_or("", |bytes| std::str::from_utf8(bytes).expect("text"))
}
