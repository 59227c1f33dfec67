//! The schema registry client against every registry: the built-in one, and the real one at `COAFI_TEST_REGISTRY`.

use std::time::Duration;

use coafi::schema::payloads::{GitCommit, SourceOffset};
use coafi::schema::register::{self, Entry, State};
use coafi::schema::registry::{BACKWARD_TRANSITIVE, Client, RegistryError, Settings};
use coafi::schema::{BuiltinRegistry, Codec, Payload, SchemaFile, SchemaId, Schemas, subject};

const FIRST: &str = r#"{"type":"record","name":"R","namespace":"t","fields":[{"name":"a","type":"int"}]}"#;
const COMPATIBLE: &str = r#"{"type":"record","name":"R","namespace":"t","fields":[{"name":"a","type":"int"},{"name":"b","type":"int","default":1}]}"#;
const BREAKING: &str = r#"{"type":"record","name":"R","namespace":"t","fields":[{"name":"c","type":"int"}]}"#;
/// Reads the second version, not the first: BACKWARD would take it, BACKWARD_TRANSITIVE does not.
const BREAKS_FIRST: &str = r#"{"type":"record","name":"R","namespace":"t","fields":[{"name":"b","type":"int"}]}"#;

/// Each is a race, which need not come out the same way every time.
const REGISTRATIONS: usize = 10;

/// Other runs use the same registry.
fn unique(name: &str) -> String {
    format!("coafi.contract-{name}-{}", uuid::Uuid::now_v7())
}

async fn contract(url: &str) {
    let client = Client::new(Settings::new(url)).unwrap();
    client.ping().await.unwrap();
    absence(&client).await;
    versions(&client).await;
    check_then_register(&client).await;
    several_at_once(&client).await;
    codec(&client).await;
}

async fn absence(client: &Client) {
    let nobody = unique("nobody");
    let confirmed = |error: RegistryError| assert!(error.is_absent(), "{error}");
    confirmed(client.schema(SchemaId(2_000_000_000)).await.unwrap_err());
    confirmed(client.versions(&nobody).await.unwrap_err());
    confirmed(client.lookup(&nobody, FIRST).await.unwrap_err());
    confirmed(client.compatible(&nobody, FIRST).await.unwrap_err());
}

async fn versions(client: &Client) {
    let subject = unique("with space/and slash");
    client
        .set_level(&subject, BACKWARD_TRANSITIVE)
        .await
        .or_else(|e| if e.is_absent() { Ok(()) } else { Err(e) })
        .unwrap();
    let first = client.register(&subject, FIRST).await.unwrap();
    client.set_level(&subject, BACKWARD_TRANSITIVE).await.unwrap();
    assert_eq!(client.register(&subject, FIRST).await.unwrap(), first, "registering again finds the same");
    assert_eq!(client.lookup(&subject, FIRST).await.unwrap(), first);
    assert!(client.lookup(&subject, COMPATIBLE).await.unwrap_err().is_absent());
    assert!(client.version(&subject, 9).await.unwrap_err().is_absent());

    let second = client.register(&subject, COMPATIBLE).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(client.versions(&subject).await.unwrap(), [1, 2]);
    assert_eq!(client.version(&subject, 2).await.unwrap().id, second);
    let text: serde_json::Value = serde_json::from_str(&client.schema(second).await.unwrap()).unwrap();
    assert_eq!(text, serde_json::from_str::<serde_json::Value>(COMPATIBLE).unwrap());

    for breaking in [BREAKING, BREAKS_FIRST] {
        assert!(!client.compatible(&subject, breaking).await.unwrap().compatible);
        let refused = client.register(&subject, breaking).await.unwrap_err();
        assert!(matches!(refused, RegistryError::Refused { .. }), "{refused}");
    }
    let nonsense = client.register(&subject, "{\"type\":\"rec").await.unwrap_err();
    assert!(matches!(nonsense, RegistryError::Refused { .. }), "{nonsense}");
    assert_eq!(client.versions(&subject).await.unwrap(), [1, 2]);
}

fn file(record: &str) -> SchemaFile {
    Schemas::built_in().of_record(record).unwrap().clone()
}

async fn check_then_register(client: &Client) {
    let topic = unique("register");
    let entry = |record: &str| Entry { subject: subject(&topic, record), file: file(record) };
    let entries = [entry(GitCommit::RECORD_NAME), entry(SourceOffset::RECORD_NAME)];
    let states = async || {
        let found = register::check(client, &entries).await.unwrap();
        found.iter().map(|finding| finding.state).collect::<Vec<_>>()
    };
    assert_eq!(states().await, [State::New, State::New]);
    let ids = register::register(client, &entries).await.unwrap();
    assert_eq!(ids.len(), 2);
    assert_eq!(states().await, [State::Registered, State::Registered]);

    let older = unique("older");
    let old = r#"{"type":"record","name":"SourceOffset","namespace":"org.coafi.connect","fields":[{"name":"connector","type":"string"},{"name":"offset","type":"long"}]}"#;
    let entry = Entry { subject: subject(&older, SourceOffset::RECORD_NAME), ..entries[1].clone() };
    client.register(&entry.subject, old).await.unwrap();
    let finding = register::check(client, &[entry]).await.unwrap().remove(0);
    assert_eq!(finding.state, State::Incompatible);
    let fields: Vec<_> = finding.problems.iter().map(|p| (p.version, p.field.as_str())).collect();
    let v1 = Some(1);
    assert_eq!(fields, [(v1, "source"), (v1, "part"), (v1, "offset"), (v1, "updatedAt")]);
}

/// As the first replicas of a deployment do, each of which registers what it needs.
async fn several_at_once(client: &Client) {
    for _ in 0..REGISTRATIONS {
        let topic = unique("together");
        let entry = |record: &str| Entry { subject: subject(&topic, record), file: file(record) };
        let entries = [entry(GitCommit::RECORD_NAME), entry(SourceOffset::RECORD_NAME)];
        let register = || register::register(client, &entries);
        let (a, b, c) = tokio::try_join!(register(), register(), register()).unwrap();
        assert!(a == b && b == c, "{a:?} {b:?} {c:?}");
        let found = register::check(client, &entries).await.unwrap();
        assert!(found.iter().all(|finding| finding.state == State::Registered), "{found:?}");
    }
}

async fn codec(client: &Client) {
    let topic = unique("codec");
    let value = SourceOffset {
        connector: "git".into(),
        source: "repo".into(),
        part: "main".into(),
        offset: "7".into(),
        updated_at: 1,
    };
    let strict = Codec::new(client.clone(), false);
    let failure = strict.encode(&topic, &value).await.unwrap_err();
    assert_eq!((failure.class.name(), failure.code), ("systemic", "schema_not_registered"), "{failure}");
    let data = Codec::new(client.clone(), true).encode(&topic, &value).await.unwrap();
    assert_eq!(strict.encode(&topic, &value).await.unwrap(), data);
    let fresh = Codec::new(client.clone(), false);
    assert_eq!(fresh.decode_avro::<SourceOffset>(&data).await.unwrap(), value);
    second_opinion(client, &topic, &data, &value).await;
}

/// Another implementation finds the schema id and the datum in what we wrote, and names the subject as we do.
async fn second_opinion(client: &Client, topic: &str, data: &[u8], expected: &SourceOffset) {
    use apache_avro::reader::datum::GenericDatumReader;
    use schema_registry_converter::schema_registry_common::{BytesResult, SubjectNameStrategy, get_bytes_result};
    let named = SubjectNameStrategy::TopicRecordNameStrategy(topic.to_owned(), SourceOffset::RECORD_NAME.to_owned());
    let subject = named.get_subject().unwrap();
    let BytesResult::Valid(id, mut datum) = get_bytes_result(Some(data)) else { panic!("not in Confluent's format") };
    assert_eq!(client.version(&subject, 1).await.unwrap().id, SchemaId(id));
    let writer = apache_avro::Schema::parse_str(&client.schema(SchemaId(id)).await.unwrap()).unwrap();
    let value = GenericDatumReader::builder(&writer).build().unwrap().read_value(&mut datum).unwrap();
    assert_eq!(&apache_avro::from_value::<SourceOffset>(&value).unwrap(), expected);
}

#[tokio::test]
async fn builtin() {
    let registry = BuiltinRegistry::start(&[]).await.unwrap();
    contract(registry.url()).await;
    registry.stop().await.unwrap();
}

#[tokio::test]
async fn builtin_ids_are_the_same_in_every_run() {
    let mut ids = Vec::new();
    for _ in 0..2 {
        let registry = BuiltinRegistry::start(&[]).await.unwrap();
        let client = Client::new(Settings::new(registry.url())).unwrap();
        client.register("other", FIRST).await.unwrap();
        ids.push(client.register("s", GitCommit::SCHEMA).await.unwrap());
    }
    assert_eq!(ids[0], ids[1]);
}

#[tokio::test]
async fn real() {
    let url = std::env::var("COAFI_TEST_REGISTRY")
        .expect("COAFI_TEST_REGISTRY is the URL of a schema registry for tests; `make test` starts one and sets it");
    contract(&url).await;
}

#[tokio::test]
async fn a_registry_that_wants_a_login_is_unavailable_rather_than_empty() {
    let app = axum::Router::new().fallback(|| async {
        (axum::http::StatusCode::UNAUTHORIZED, r#"{"error_code":40101,"message":"Unauthorized"}"#)
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let settings = Settings { timeout: Duration::from_secs(2), ..Settings::new(&url) };
    let error = Client::new(settings).unwrap().schema(SchemaId(1)).await.unwrap_err();
    assert!(matches!(error, RegistryError::Unavailable { .. }), "{error}");
    server.abort();
}
