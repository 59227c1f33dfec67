//! Other domains' topics: each record becomes one event, whoever is killed when, and whoever wrote it.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::{Value, json};

use crate::event::{Subject, attributes, framed};
use crate::http;
use crate::process::{Process, eventually, found};
use crate::stack::unique;
use crate::topic::{Positions, Producer, Read, Record, create, delete_records, ends, grow, read};
use crate::world::World;

pub(crate) const TOPIC: &str = "coafi.federated";
const MESSAGE: &str = "org.coafi.events.FederatedMessagePayload";
const REFUSED: &str = "org.coafi.events.FederatedRefusedPayload";
const RECORD_BYTES: usize = 1 << 20;
/// Records between two kills.
const ROUND: usize = 1_500;

/// A domain with a topic of its own.
struct Domain {
    world: World,
    name: String,
    topic: String,
    /// Where ours ended when this began.
    start: Positions,
}

impl Domain {
    /// `keys` is YAML of the domain's further settings.
    fn new(name: &str, settings: &str) -> Self {
        let world = World::new(name);
        world.also_declare(TOPIC);
        let domain = unique(name).to_ascii_lowercase();
        let topic = format!("{domain}.events");
        create(&world.stack.kafka, &topic, RECORD_BYTES);
        let start = ends(&world.stack.kafka, TOPIC);
        let yaml = format!("federated:\n  domains:\n  - name: {domain}\n    topics: [{topic}]\n    {settings}\n");
        std::fs::write(world.path("coafi.yaml"), yaml).unwrap();
        Self { world, name: domain, topic, start }
    }

    fn connector(&self) -> Process {
        let mut command = self.world.command(&["connect", "federated", "--output", "json"]);
        command.env("COAFI__LOG__LEVEL", "info");
        Process::start(command)
    }

    /// What became of the domain's records, in their order.
    fn events(&self) -> Vec<Read> {
        let source = format!("/coafi/federated/{}", self.name);
        let all = read(&self.world.stack.kafka, TOPIC, &self.start).into_iter();
        all.filter(|read| read.record.header("ce_source") == Some(&source)).collect()
    }

    fn publishes(&self, connector: &Process) -> bool {
        let page = connector.page("/metrics").body;
        let ours = |line: &&str| line.starts_with("coafi_source_events_total{") && line.contains(&self.topic);
        page.lines().find(ours).is_some_and(|line| !line.ends_with(" 0"))
    }
}

fn message(n: usize) -> Record {
    Record { key: None, value: Some(json!({"n": n}).to_string().into_bytes()), headers: Vec::new() }
        .with("ce_specversion", "1.0")
        .with("ce_id", format!("m-{n}"))
        .with("ce_source", "/aero/telemetry")
        .with("ce_type", "Measured")
        .with("ce_subject", "telemetry")
        .with("content-type", "application/json")
}

/// `kill -9` of the one that publishes, in mid-stream, while another stands by.
#[test]
fn every_record_is_one_event_whoever_is_killed() {
    let domain = Domain::new("tailed", "authentication: transport");
    let mut connectors = vec![domain.connector(), domain.connector()];
    for round in 0..3 {
        let first = round * ROUND;
        for n in first..first + ROUND {
            domain.world.producer.hand_over(&domain.topic, 0, &message(n));
        }
        domain.world.producer.flush();
        let publisher =
            found("somebody publishes", || connectors.iter().position(|connector| domain.publishes(connector)));
        eventually("some of the round are published", || domain.events().len() > first);
        connectors.remove(publisher).kill();
        connectors.push(domain.connector());
    }
    eventually("all are published", || domain.events().len() >= 3 * ROUND);
    let ids: Vec<String> = domain.events().iter().map(|read| read.record.header("ce_id").unwrap().to_owned()).collect();
    assert_eq!(ids, (0..3 * ROUND).map(|n| format!("m-{n}")).collect::<Vec<_>>(), "each once, in order");
    connectors.iter().for_each(Process::terminate);
    connectors.into_iter().for_each(|connector| drop(connector.ended().well()));
}

/// A registry of its own says what is in its records: the standard message format, or a schema that only the domain knows.
#[test]
fn what_a_domain_sends_in_avro_is_read_by_its_registry() {
    let domain = Domain::new("avro", "authentication: transport\n    schema_registry: {url: 'http://127.0.0.1:1'}");
    let registry = &domain.world.stack.registry;
    let schema = json!({"type": "record", "name": "Reading", "namespace": "aero", "fields": [
        {"name": "sensor", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    ]});
    let subject = format!("{}-value", domain.topic);
    let body = json!({"schema": schema.to_string()}).to_string();
    let answer = http::post(&format!("{registry}/subjects/{subject}/versions"), &body).expect("the registry answers");
    let id = u32::try_from(answer.json()["id"].as_u64().unwrap()).unwrap();
    let reading = Subject { id, schema: apache_avro::Schema::parse_str(&schema.to_string()).unwrap() };
    let standard = Subject::latest(registry, TOPIC, MESSAGE);
    let standard_message = json!({
        "messageId": "of the domain", "sourceDomain": "said by itself", "targetDomain": "terra", "messageType": "Said",
        "source": null, "subject": null, "sentAt": 1, "payload": "{\"n\":  1}",
        "authentication": {"method": "signature", "keyId": "forged"}, "utids": ["utid-1"],
    });
    let reading = reading.encode(&json!({"sensor": "s-1", "at": 1_700_000_000_000_i64}));
    let values = [
        reading.clone(),
        standard.encode(&standard_message),
        framed(u32::MAX - 1, b"of nobody"),
        reading[..reading.len() - 1].to_vec(),
    ];
    for (n, value) in values.into_iter().enumerate() {
        let record = Record { value: Some(value), ..attributes("Measured", "/aero") };
        domain.world.producer.send(&domain.topic, &record.with("ce_subject", format!("s-{n}")));
    }
    // While nobody says what it is, it waits.
    let connector = domain.connector();
    eventually("its registry was asked for", || connector.log().contains("127.0.0.1:1"));
    assert_eq!(domain.events().len(), 0);
    connector.terminate();
    connector.ended();
    let file = domain.world.path("coafi.yaml");
    let yaml = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, yaml.replace("http://127.0.0.1:1", registry)).unwrap();
    let connector = domain.connector();
    eventually("all are published", || domain.events().len() == 4);
    // Each is in the partition of its key, and keys have the domain's name in them.
    let (refusals, events): (Vec<_>, Vec<_>) =
        domain.events().into_iter().partition(|read| read.record.header("ce_type") == Some("federated.refused"));
    assert_eq!((events.len(), refusals.len()), (2, 2));
    let mut messages: Vec<Value> =
        events.iter().map(|read| standard.decode(read.record.value.as_deref().unwrap())).collect();
    messages.sort_by_key(|message| message["targetDomain"] == "terra");
    let payload = |at: usize| -> Value { serde_json::from_str(messages[at]["payload"].as_str().unwrap()).unwrap() };
    assert_eq!(payload(0)["sensor"], "s-1");
    assert_eq!(messages[1]["payload"], "{\"n\":  1}", "as it was sent");
    assert_eq!((&messages[1]["targetDomain"], &messages[1]["utids"]), (&json!("terra"), &json!(["utid-1"])));
    for message in &messages {
        // Who it is is never taken from what was sent.
        assert_eq!((&message["sourceDomain"], &message["messageType"]), (&json!(domain.name), &json!("Measured")));
        assert_eq!(message["authentication"], json!({"method": "transport", "keyId": null}));
    }
    let refused = Subject::latest(registry, TOPIC, REFUSED);
    for read in &refusals {
        let data = refused.decode(read.record.value.as_deref().unwrap());
        assert_eq!(data["reason"], "malformed", "{data}");
    }
    connector.terminate();
    connector.ended().well();
}

/// The command line as the domain would use it.
fn signed(command: &mut Command, arguments: &[&str]) -> String {
    let output = command.args(["federated", "sign"]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn what_a_domain_signed_is_a_message_and_everything_else_is_an_event_that_says_why_not() {
    let keys = tempfile::tempdir().unwrap();
    let (ours, theirs) = (keys.path().join("aero.pem"), keys.path().join("other.pem"));
    let mut publics = Vec::new();
    let domain = {
        // The key is there before the domain is: any world's command makes one.
        let maker = World::new("signed_keys");
        for file in [&ours, &theirs] {
            let made =
                maker.run(&["federated", "keygen", "aero-1", "--out", file.to_str().unwrap(), "--output", "json"]);
            publics.push(made.json()["publicKey"].as_str().unwrap().to_owned());
        }
        Domain::new("signed", &format!("keys: [{{kid: aero-1, public_key: {}}}]", publics[0]))
    };
    let sign = |key: &std::path::Path, audience: &str, id: &str, lifetime: &str| {
        let (key, name) = (key.to_str().unwrap(), domain.name.as_str());
        let arguments = [
            "--key",
            key,
            "--kid",
            "aero-1",
            "--domain",
            name,
            "--audience",
            audience,
            "--id",
            id,
            "--lifetime",
            lifetime,
            "--type",
            "SystemUpdateNotification",
            "--subject",
            "telemetry",
            "--data",
            r#"{"system":"telemetry"}"#,
        ];
        signed(&mut domain.world.command(&[]), &arguments)
    };
    let good = sign(&ours, "coafi", "m-1", "1m");
    let records = [
        good.clone(),
        sign(&theirs, "coafi", "m-2", "1m"),
        sign(&ours, "terra", "m-3", "1m"),
        sign(&ours, "coafi", "m-4", "2h"),
        "rubbish".to_owned(),
        format!("{good}x"),
        sign(&ours, "coafi", "m-5", "1m"),
    ];
    let record = |value: &String| Record { value: Some(value.clone().into_bytes()), ..Record::default() };
    let now_ms = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    for value in &records {
        domain.world.producer.send(&domain.topic, &record(value));
    }
    // Put into the topic when it had expired; and without any value.
    domain.world.producer.send_as_of(&domain.topic, 0, &record(&good), now_ms + 600_000);
    domain.world.producer.send(&domain.topic, &Record::default());
    let connector = domain.connector();
    eventually("all are published", || domain.events().len() >= records.len() + 2);
    let kafka = &domain.world.stack.registry;
    let (messages, refusals) = (Subject::latest(kafka, TOPIC, MESSAGE), Subject::latest(kafka, TOPIC, REFUSED));
    let said = |read: &Read| -> (String, Value) {
        let (of_type, value) = (read.record.header("ce_type").unwrap(), read.record.value.as_deref().unwrap());
        match of_type {
            "federated.refused" => ("refused".to_owned(), refusals.decode(value)),
            other => (other.to_owned(), messages.decode(value)),
        }
    };
    let mut by_offset: BTreeMap<i64, Value> = BTreeMap::new();
    let mut taken = Vec::new();
    for (of_type, data) in domain.events().iter().map(said) {
        if of_type == "refused" {
            by_offset.insert(data["offset"].as_i64().unwrap(), data);
        } else {
            assert_eq!((&*of_type, &data["sourceDomain"]), ("SystemUpdateNotification", &json!(domain.name)));
            assert_eq!(data["authentication"]["keyId"], "aero-1");
            taken.push(data["messageId"].clone());
        }
    }
    assert_eq!(taken, ["m-1", "m-5"]);
    let reasons: Vec<_> = by_offset.iter().map(|(offset, data)| (*offset, data["reason"].as_str().unwrap())).collect();
    let expected = [
        (1, "bad_signature"),
        (2, "wrong_audience"),
        (3, "lifetime_too_long"),
        (4, "malformed"),
        (5, "malformed"),
        (7, "expired"),
        (8, "malformed"),
    ];
    let expected = expected.map(|(offset, reason)| {
        // One character more is no base64, or another signature.
        if offset == 5 { (offset, reasons[4].1) } else { (offset, reason) }
    });
    assert_eq!(reasons, expected);
    assert!(["malformed", "bad_signature"].contains(&reasons[4].1), "{reasons:?}");
    connector.terminate();
    let summary = connector.ended().json();
    assert_eq!((&summary["sources"][0]["records"], &summary["sources"][0]["refused"]), (&json!(9), &json!(7)));
}

/// Retention, or somebody, took what was to be read next.
#[test]
fn what_is_lost_halts_the_domain_unless_it_is_to_go_on() {
    let domain = Domain::new("lossy", "authentication: transport");
    for n in 0..3 {
        domain.world.producer.send(&domain.topic, &message(n));
    }
    let connector = domain.connector();
    eventually("they are published", || domain.events().len() == 3);
    connector.terminate();
    connector.ended().well();
    for n in 3..9 {
        domain.world.producer.send(&domain.topic, &message(n));
    }
    delete_records(&domain.world.stack.kafka, &domain.topic, 6);
    let halted = domain.connector().ended();
    assert_eq!(halted.code(), Some(1), "{halted:?}");
    assert!(
        halted.stderr.contains("offsets 3 to 6") && halted.stderr.contains("on_loss: continue"),
        "{}",
        halted.stderr
    );
    let file = domain.world.path("coafi.yaml");
    let yaml = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, yaml.replace("authentication:", "on_loss: continue\n    authentication:")).unwrap();
    let connector = domain.connector();
    eventually("the others are published", || domain.events().len() == 6);
    assert!(connector.log().contains("records are lost; going on"), "{}", connector.log());
    let ids: Vec<_> = domain.events().iter().map(|read| read.record.header("ce_id").unwrap().to_owned()).collect();
    assert_eq!(ids, ["m-0", "m-1", "m-2", "m-6", "m-7", "m-8"]);
    connector.terminate();
    connector.ended().well();
}

#[test]
fn a_partition_that_is_added_is_read_from_its_beginning() {
    let domain = Domain::new("grown", "authentication: transport\n    start: latest");
    domain.world.producer.send(&domain.topic, &message(0));
    let mut connector = domain.connector();
    connector.until_ready();
    // Only what comes once it has begun is read: nobody can tell when that was, but by what comes.
    let mut sent = 1;
    eventually("it has begun", || {
        domain.world.producer.send(&domain.topic, &message(sent));
        sent += 1;
        !domain.events().is_empty()
    });
    grow(&domain.world.stack.kafka, &domain.topic, 2);
    let known = found("the new partition", || {
        let ends = ends(&domain.world.stack.kafka, &domain.topic);
        (ends.len() == 2).then_some(ends)
    });
    // One that has asked for the topic since.
    let producer = Producer::new(&domain.world.stack.kafka);
    producer.send_to(&domain.topic, 1, &message(1_000_000));
    let has = |id: &str| domain.events().iter().any(|read| read.record.header("ce_id") == Some(id));
    eventually("what is in it is published", || has("m-1000000"));
    assert!(!has("m-0"), "it was there before the connector: {known:?}");
    connector.terminate();
    connector.ended().well();
}
