//! The target of webhooks: signatures of every scheme, and what deliveries of forges say.

use std::time::Duration;

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::forge::{self, Told};
use super::hmac::unhex;
use super::{Algorithm, Encoding, Github, Gitlab, Hmac, Scheme, Standard, Template, Window};
use crate::fuzzing::{Message, Target};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const SHARED: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const NOW_MS: i64 = 1_614_265_330_000;
const NOW: &str = "1614265330";
const WINDOW: Window = Window(Duration::from_secs(300));

inventory::submit! { Target { name: "webhooks", run } }

fn run(bytes: &[u8]) {
    let message = Message::of(bytes);
    let (headers, body) = (message.http(), message.body);
    forged(&headers, body);
    signed(headers, body);
    let events = message.headers.iter().filter_map(|(_, value)| std::str::from_utf8(value).ok());
    for event in events.chain(["push", "Push Hook", "System Hook"]) {
        for told in [forge::github(event, body), forge::gitlab(event, body)] {
            if let Ok(Told::Push(names)) = told {
                assert!(names.len() <= 3);
            }
        }
    }
    let texts = message.headers.iter().filter_map(|(name, _)| std::str::from_utf8(name).ok());
    for template in texts.filter_map(|text| text.parse::<Template>().ok()) {
        assert_eq!(template.to_string().parse(), Ok(template.clone()));
        let filled = template.fill(body, NOW, "id").concat();
        assert!(filled.len() >= body.len());
    }
}

/// Nobody who does not know the secret makes a code of it.
fn forged(headers: &HeaderMap, body: &[u8]) {
    assert!(Github::new([SECRET]).verify(headers, body).is_err());
    assert!(standard().verify(headers, body, NOW_MS).is_err());
    assert!(Gitlab::new([SHARED], WINDOW).expect("a signing token").verify(headers, body, NOW_MS).is_err());
    assert!(Gitlab::new([SECRET], WINDOW).expect("a token").verify(headers, body, NOW_MS).is_err());
    for encoding in [Encoding::Hex, Encoding::Base64] {
        assert!(hmac(encoding).verify(headers, body, NOW_MS).is_err());
    }
}

/// Whatever the body is, who knows the secret is believed.
fn signed(mut headers: HeaderMap, body: &[u8]) {
    let code = mac(SECRET.as_bytes(), &[body]);
    let digits: String = code.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(unhex(&digits).as_deref(), Some(&*code));
    put(&mut headers, "x-hub-signature-256", &format!("sha256={digits}"));
    assert!(Github::new([SECRET]).verify(&headers, body).is_ok());
    let id = headers.get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or("msg_1").to_owned();
    put(&mut headers, "webhook-id", &id);
    put(&mut headers, "webhook-timestamp", NOW);
    let code = mac(SECRET.as_bytes(), &[id.as_bytes(), b".", NOW.as_bytes(), b".", body]);
    put(&mut headers, "webhook-signature", &format!("v1,{}", BASE64.encode(code)));
    let delivery = standard().verify(&headers, body, NOW_MS).expect("it is signed");
    assert!((1..=255).contains(&delivery.as_str().len()), "{delivery:?}");
}

fn put(headers: &mut HeaderMap, name: &'static str, value: &str) {
    headers.insert(name, value.parse().expect("visible ASCII"));
}

fn mac(secret: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
    aws_lc_rs::hmac::sign(&key, &parts.concat()).as_ref().to_vec()
}

fn standard() -> Standard {
    Standard::new([SHARED], WINDOW).expect("a secret")
}

fn hmac(encoding: Encoding) -> Hmac {
    let scheme = Scheme {
        header: "x-signature".into(),
        prefix: "v0=".into(),
        algorithm: Algorithm::Sha512,
        encoding,
        signed: "v0:{timestamp}:{id}:{body}".parse().expect("a template"),
        timestamp: Some(("x-timestamp".into(), WINDOW)),
        id_header: Some("x-id".into()),
    };
    Hmac::new([SECRET], scheme)
}
