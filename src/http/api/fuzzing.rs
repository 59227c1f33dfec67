//! Targets: what callers of the API say in headers and parameters, and who they say they are.

use std::time::Duration;

use futures_util::FutureExt as _;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::jwt::{Jwt, JwtSettings};
use super::{body, cursor, idempotency, jwks, prefer, registries, trace};
use crate::fuzzing::{Message, Target, choice, text};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

inventory::submit! { Target { name: "api_headers", run: headers } }
inventory::submit! { Target { name: "tokens", run: tokens } }

fn headers(bytes: &[u8]) {
    let message = Message::of(bytes);
    let headers = message.http();
    let _wait = prefer::wait(&headers);
    if let Ok(Some(key)) = idempotency::key(&headers) {
        assert!((1..=255).contains(&key.len()));
    }
    assert_eq!(body::check_is_json(&headers).is_ok(), crate::event::incoming::is_json(&body::media_type(&headers)));
    registries::etag::check(&headers);
    for text in message.headers.iter().filter_map(|(_, value)| text(value)) {
        let by_handlers = crate::dispatch::is_traceparent(text);
        assert!(trace::is_traceparent(text) == by_handlers || !text.starts_with("00-"), "{text}: {by_handlers}");
    }
    let query = ["parts", "wing"];
    if let Some(text) = text(message.body) {
        let place = cursor::decode::<(i64, String)>(&query, Some(text));
        assert!(place.is_err() || message.body.len() <= 16 * 1024);
        let cursor = cursor::encode(&query, &(7, text));
        if cursor.len() <= 16 * 1024 {
            assert_eq!(cursor::decode(&query, Some(&cursor)), Ok(Some((7, text.to_owned()))));
            assert!(cursor::decode::<(i64, String)>(&["parts", "tail"], Some(&cursor)).is_err());
        }
    }
}

/// The first byte says whether a token follows, the claims of one that is signed, or a provider's keys.
fn tokens(bytes: &[u8]) {
    let Some((kind, rest)) = choice(bytes) else { return };
    match kind % 3 {
        0 => {
            let Some(token) = text(rest) else { return };
            // No mutation makes a signature; what is refused is refused without a panic.
            assert!(principal(token).is_none(), "{token}");
        }
        1 => {
            let Ok(mut claims) = serde_json::from_slice::<Value>(rest) else { return };
            let _as_it_is = principal(&signed(&claims));
            let Some(members) = claims.as_object_mut() else { return };
            members.insert("exp".into(), json!(4_102_444_800_u64));
            members.insert("iss".into(), json!("https://issuer"));
            let Some(principal) = principal(&signed(&claims)) else { return };
            assert!(principal.0.starts_with("jwt:") && principal.0.len() <= 4 + 256, "{principal:?}");
            assert!(principal.1 <= 1_000);
        }
        _ => assert!(jwks::usable(rest) <= 100),
    }
}

fn signed(claims: &Value) -> String {
    encode(&Header::default(), claims, &EncodingKey::from_secret(SECRET)).expect("JSON is signed")
}

/// Name, and number of permissions.
fn principal(token: &str) -> Option<(String, usize)> {
    let settings = JwtSettings {
        issuer: Some("https://issuer".into()),
        secret: Some(SECRET.to_vec()),
        permissions_claim: "permissions".into(),
        leeway: Duration::from_secs(60),
        ..JwtSettings::default()
    };
    let jwt = Jwt::new(&settings).expect("without TLS").expect("there is a secret");
    // Where there are no keys to be fetched, nothing waits.
    let principal = jwt.principal(token).now_or_never().expect("it waits for nobody").ok()?;
    Some((principal.name, principal.permissions.len()))
}
