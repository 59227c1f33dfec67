//! Targets: messages of other domains, their envelopes, their keys.

use std::time::Duration;

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::event::Data;
use super::keys::{DomainKey, PrivateKey, PublicKey, Validity};
use super::{Lifetime, Message, Verifier};
use crate::event::{Event, Offset, RecordBuilder};
use crate::fuzzing::{Message as Headers, Target, choice, text};

const NOW: i64 = 1_800_000_000;
/// For fuzzing only.
const KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----";

inventory::submit! { Target { name: "federated", run } }

/// The first byte says what follows: an envelope, its claims, a message alone or in a record, a key.
fn run(bytes: &[u8]) {
    let Some((kind, rest)) = choice(bytes) else { return };
    match kind % 5 {
        0 => drop(verified(rest)),
        1 => claims(rest),
        2 => {
            let Some(text) = text(rest) else { return };
            if let Ok(message) = Message::structured(text) {
                check(&message);
            }
        }
        3 => record(rest),
        _ => keys(rest),
    }
}

fn verified(token: &[u8]) -> Option<super::Verified> {
    let key = PrivateKey::parse(KEY).expect("a key");
    let validity = Validity::default();
    let keys = vec![DomainKey { kid: "aero-1".into(), public: key.public().clone(), validity }];
    let lifetime = Lifetime { max: Duration::from_secs(300), leeway: Duration::from_secs(30) };
    let verifier = Verifier::new("gaia", lifetime, [("aero".to_owned(), keys)]);
    verifier.verify("aero", token, Timestamp::from_second(NOW).expect("within the calendar")).ok()
}

/// Signed as they are, and as they should be.
fn claims(bytes: &[u8]) {
    let Ok(claims) = serde_json::from_slice::<Value>(bytes) else { return };
    let _as_they_are = verified(signed(&claims).as_bytes());
    let event = claims.get("event").unwrap_or(&claims);
    let whole =
        json!({"iss": "aero", "aud": ["gaia"], "iat": NOW, "exp": NOW + 60, "jti": event["id"], "event": event});
    let Some(verified) = verified(signed(&whole).as_bytes()) else { return };
    assert_eq!(verified.message.source_domain, "aero");
    check(&Message::structured(&verified.event).expect("it was taken before"));
}

fn signed(claims: &Value) -> String {
    let key = PrivateKey::parse(KEY).expect("a key");
    let header = Header { kid: Some("aero-1".into()), ..Header::new(Algorithm::EdDSA) };
    encode(&header, claims, &EncodingKey::from_ed_der(key.der())).expect("JSON is signed")
}

fn record(bytes: &[u8]) {
    let headers = Headers::of(bytes);
    let mut builder = RecordBuilder::new(None, Some(headers.body), 0);
    for (name, value) in &headers.headers {
        builder.header(name, Some(value));
    }
    let Ok(event) = Event::parse(builder.build("aero.events".into(), 0, Offset(0), None)) else { return };
    if let Ok(message) = Message::of_event(&event, Data::Other) {
        check(&message);
    }
}

/// What is published of it fits a record, and its payload is JSON.
fn check(message: &Message) {
    assert!(serde_json::from_str::<serde::de::IgnoredAny>(&message.payload).is_ok(), "{message:?}");
    assert!(!message.id.is_empty() && message.id.len() <= 1_024 && message.utids.len() <= 100, "{message:?}");
    assert!(message.payload.len() <= 900 << 10);
}

fn keys(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    if let Ok(key) = PublicKey::parse(text) {
        assert!(PublicKey::parse(&key.text()).is_ok_and(|again| again == key));
        assert!(PublicKey::parse(&key.pem()).is_ok_and(|again| again == key));
    }
    if let Ok(key) = PrivateKey::parse(text) {
        let again = PrivateKey::parse(&key.pem()).expect("it was written by us");
        assert_eq!(again.public(), key.public());
    }
}
