//! Against the built-in registry over real HTTP; and against ports where none answers.

use super::*;
use crate::event::{Offset, RecordBuilder};
use crate::schema::payloads::{GitCommit, Outcome, SourceOffset};
use crate::schema::register::Entry;
use crate::schema::registry::Settings;
use crate::schema::{BuiltinRegistry, Schemas, sample};

const TOPIC: &str = "coafi.test";

async fn registry() -> BuiltinRegistry {
    let entries: Vec<Entry> = Schemas::built_in()
        .iter()
        .map(|file| Entry { subject: subject(TOPIC, file.record()), file: file.clone() })
        .collect();
    BuiltinRegistry::start(&entries).await.unwrap()
}

fn codec(url: &str) -> Codec {
    Codec::new(Client::new(Settings::new(url)).unwrap(), false)
}

fn event(content_type: &str, data: &[u8]) -> Event {
    let mut builder = RecordBuilder::new(None, Some(data), 0);
    for (name, value) in [("ce_specversion", "1.0"), ("ce_id", "1"), ("ce_source", "/s"), ("ce_type", "git.commit")] {
        builder.header(name.as_bytes(), Some(value.as_bytes()));
    }
    builder.header(b"content-type", Some(content_type.as_bytes()));
    Event::parse(builder.build("t".into(), 0, Offset(0), None)).unwrap()
}

fn avro(data: &[u8]) -> Event {
    event(crate::schema::AVRO_CONTENT_TYPE, data)
}

#[tokio::test]
async fn what_is_encoded_decodes_and_then_without_asking() {
    let registry = registry().await;
    let codec = codec(registry.url());
    let value = sample::git_commit();
    let data = codec.encode(TOPIC, &value).await.unwrap();
    let event = avro(&data);
    assert_eq!(codec.decode::<GitCommit>(&event).await.unwrap(), value);
    registry.stop().await.unwrap();
    assert_eq!(codec.decode::<GitCommit>(&event).await.unwrap(), value);
    assert_eq!(codec.encode(TOPIC, &value).await.unwrap(), data);
}

#[tokio::test]
async fn plain_json_is_encoded_without_asking_again() {
    let registry = registry().await;
    let codec = codec(registry.url());
    let request = serde_json::json!({"workflow": "W", "workflowId": "wf-1", "input": "{}", "utids": []});
    let subject = subject(TOPIC, crate::schema::payloads::WorkflowRequested::RECORD_NAME);
    let schema = crate::schema::payloads::WorkflowRequested::SCHEMA;
    let encoded = codec.encode_json(TOPIC, "workflow.requested", &request).await.unwrap();
    let id = codec.registered_id(&subject, schema).await.unwrap();
    registry.stop().await.unwrap();
    assert_eq!(codec.encode_json(TOPIC, "workflow.requested", &request).await.unwrap(), encoded);
    assert_eq!(codec.registered_id(&subject, schema).await.unwrap(), id);
    assert!(codec.registered_id("another", schema).await.is_err(), "it would have been asked");
}

#[tokio::test]
async fn an_encoder_needs_no_registry_and_takes_borrowed_values() {
    let registry = registry().await;
    let codec = codec(registry.url());
    let encoder = codec.encoder::<Outcome<'static>>(TOPIC).await.unwrap();
    registry.stop().await.unwrap();
    let owned = sample::outcome();
    let id = String::from("a");
    let borrowed = Outcome { event_id: Some(id.as_str().into()), ..sample::outcome() };
    let (mut first, mut second) = (Vec::new(), b"before".to_vec());
    encoder.encode(&owned, &mut first).unwrap();
    encoder.encode(&borrowed, &mut second).unwrap();
    assert_eq!(second, [b"before", &first[..]].concat());
}

#[tokio::test]
async fn bytes_that_are_no_event_are_poison_and_say_why() {
    let registry = registry().await;
    let codec = codec(registry.url());
    let whole = codec.encode(TOPIC, &sample::git_commit()).await.unwrap();
    let check = async |data: &[u8], expected: &str| {
        let failure = codec.decode_avro::<GitCommit>(data).await.unwrap_err();
        assert_eq!((&failure.class, failure.code), (&Class::Poison, "undecodable"), "{failure}");
        assert!(failure.message.contains(expected), "{failure} should say {expected:?}");
    };
    check(b"", "empty").await;
    check(b"{\"a\":1}", "0x7b").await;
    check(&whole[..3], "ends after 3 bytes").await;
    check(&[&whole[..], b"xy"].concat(), "2 of").await;
    for cut in 5..whole.len() {
        check(&whole[..cut], "no whole org.coafi.events.GitCommitEventPayload").await;
    }
}

#[tokio::test]
async fn random_bytes_never_panic() {
    let registry = registry().await;
    let codec = codec(registry.url());
    let whole = codec.encode(TOPIC, &sample::git_commit()).await.unwrap();
    let mut state = 1u64;
    for _ in 0..20_000 {
        let mut data = whole.to_vec();
        for _ in 0..4 {
            // Any generator does; this one is Knuth's MMIX.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = 5 + (state >> 33) as usize % (data.len() - 5);
            data[at] = (state >> 24) as u8;
        }
        if let Err(failure) = codec.decode_avro::<GitCommit>(&data).await {
            assert_eq!(failure.class, Class::Poison);
        }
    }
}

#[tokio::test]
async fn a_list_longer_than_its_datum_is_refused_at_once() {
    let registry = registry().await;
    let codec = codec(registry.url());
    let value = GitCommit { parents: Vec::new(), changed_files: Vec::new(), utids: Vec::new(), ..sample::git_commit() };
    let mut bomb = codec.encode(TOPIC, &value).await.unwrap().to_vec();
    // The last byte ends the empty list of utids; instead a block of 2^40 items begins.
    bomb.pop();
    bomb.extend([0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01]);
    let failure = codec.decode_avro::<GitCommit>(&bomb).await.unwrap_err();
    assert!(failure.message.contains("Exceeding max sequence size"), "{failure}");
}

#[tokio::test]
async fn another_writers_data_is_resolved_or_named() {
    let registry = registry().await;
    let codec = codec(registry.url());
    let client = codec.registry().clone();
    let longer = SourceOffset::SCHEMA
        .replace(r#"{"name": "part","#, r#"{"name": "added", "type": "string", "default": "x"}, {"name": "part","#);
    let other = r#"{"type":"record","name":"SourceOffset","fields":[{"name":"connector","type":"int"}]}"#;
    let id = client.register("longer", &longer).await.unwrap();
    let other_id = client.register("other", other).await.unwrap();

    let string = |text: &str| [&[u8::try_from(text.len() * 2).unwrap()], text.as_bytes()].concat();
    let datum = [string("git"), string("repo"), string("added"), string("main"), string("7"), vec![2]].concat();
    let data = [&wire::header(id)[..], &datum].concat();
    let value = codec.decode_avro::<SourceOffset>(&data).await.unwrap();
    assert_eq!((value.part.as_str(), value.offset.as_str(), value.updated_at), ("main", "7", 1));
    for cut in 5..data.len() {
        assert_eq!(codec.decode_avro::<SourceOffset>(&data[..cut]).await.unwrap_err().class, Class::Poison);
    }
    let failure = codec.decode_avro::<SourceOffset>(&[&data[..], b"x"].concat()).await.unwrap_err();
    assert!(failure.message.starts_with("1 of"), "{failure}");

    let data = [&wire::header(other_id)[..], &[2]].concat();
    let failure = codec.decode_avro::<SourceOffset>(&data).await.unwrap_err();
    assert_eq!((&failure.class, failure.code), (&Class::Poison, "incompatible_schema"));
    for named in ["org.coafi.connect.SourceOffset", &other_id.to_string(), "connector", "updatedAt"] {
        assert!(failure.message.contains(named), "{failure} should name {named}");
    }
}

#[tokio::test]
async fn an_id_that_the_registry_denies_is_poison_and_not_asked_again() {
    let registry = registry().await;
    let codec = codec(registry.url());
    let data = [0, 0, 0, 0, 9, 1];
    let first = codec.decode_avro::<GitCommit>(&data).await.unwrap_err();
    assert_eq!((&first.class, first.code), (&Class::Poison, "unknown_schema"), "{first}");
    registry.stop().await.unwrap();
    assert_eq!(codec.decode_avro::<GitCommit>(&data).await.unwrap_err().class, Class::Poison);
}

#[tokio::test]
async fn a_registry_that_does_not_answer_is_systemic() {
    let closed = coafi_testcontainers::free_address().unwrap();
    // Says nothing: its backlog takes the connections.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let systemic = Class::Systemic(Dependency::new("schema-registry"));
    for address in [closed, silent.local_addr().unwrap()] {
        let settings = Settings { timeout: Duration::from_millis(300), ..Settings::new(&format!("http://{address}")) };
        let codec = Codec::new(Client::new(settings).unwrap(), true);
        let commit = sample::git_commit();
        let (one, two, three) = tokio::join!(
            codec.decode_avro::<GitCommit>(&[0, 0, 0, 0, 1, 1]),
            codec.decode_avro::<GitCommit>(&[0, 0, 0, 0, 2, 1]),
            codec.encode(TOPIC, &commit),
        );
        for failure in [one.unwrap_err(), two.unwrap_err(), three.unwrap_err()] {
            assert_eq!((&failure.class, failure.code), (&systemic, "schema_registry_unavailable"), "{failure}");
        }
    }
    silent.set_nonblocking(true).unwrap();
    let asked = std::iter::from_fn(|| silent.accept().ok()).count();
    assert_eq!(asked, 1, "those that waited for the time-out share it");
}

#[tokio::test]
async fn an_unregistered_schema_stops_the_producer_unless_it_may_register() {
    let registry = BuiltinRegistry::start(&[]).await.unwrap();
    let client = Client::new(Settings::new(registry.url())).unwrap();
    let failure = Codec::new(client.clone(), false).encode(TOPIC, &sample::git_commit()).await.unwrap_err();
    let subject = subject(TOPIC, GitCommit::RECORD_NAME);
    let dependency = Dependency::schema(&subject);
    assert_eq!((&failure.class, failure.code), (&Class::Systemic(dependency), "schema_not_registered"));
    assert!(failure.message.contains("coafi schemas register") && failure.message.contains(&subject), "{failure}");
    let codec = Codec::new(client.clone(), false);
    assert!(codec.is_registered(&subject).await.is_err_and(|error| error.is_absent()));
    Codec::new(client.clone(), true).encode(TOPIC, &sample::git_commit()).await.unwrap();
    assert_eq!(client.versions(&subject).await.unwrap(), [1]);
    assert!(codec.is_registered(&subject).await.is_ok(), "who waits for it goes on");
    assert!(codec.is_registered("a-strangers").await.is_ok(), "nothing is known of it");
}

#[tokio::test]
async fn any_data_can_be_looked_at_as_json() {
    let registry = registry().await;
    let codec = codec(registry.url());
    let data = codec.encode(TOPIC, &sample::git_commit()).await.unwrap();
    for _ in 0..2 {
        let json = codec.decode_json(&avro(&data)).await.unwrap();
        let mut expected = serde_json::to_value(sample::git_commit()).unwrap();
        expected["changedFiles"][0]["pathBytes"] = "ZG9jcy//Lm1k".into();
        expected["changedFiles"][0]["oldPathBytes"] = "ZG9jcy/+LnR4dA==".into();
        assert_eq!(json, expected);
    }
    let check = async |data: &[u8], class: &str| {
        assert_eq!(codec.decode_json(&avro(data)).await.unwrap_err().class.name(), class);
    };
    check(&data[..data.len() - 1], "poison").await;
    check(&[&data[..], b"x"].concat(), "poison").await;
    check(&[0, 0, 0, 0, 9], "poison").await;
    assert_eq!(codec.decode_json(&event("application/json", b"[1]")).await.unwrap(), serde_json::json!([1]));
}

#[tokio::test]
async fn json_is_decoded_without_a_registry() {
    let codec = codec("http://127.0.0.1:1");
    let value = sample::git_commit();
    let json = serde_json::to_vec(&value).unwrap();
    for media in ["application/json", "application/JSON; charset=utf-8", "application/vnd.coafi+json"] {
        assert_eq!(codec.decode::<GitCommit>(&event(media, &json)).await.unwrap(), value, "{media}");
    }
    for data in [&b""[..], b"{", b"[]", b"{}", br#"{"commitSha":1}"#] {
        let failure = codec.decode::<GitCommit>(&event("application/json", data)).await.unwrap_err();
        assert_eq!((&failure.class, failure.code), (&Class::Poison, "undecodable"));
    }
}
