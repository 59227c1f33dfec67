//! Each scheme against what its authors say of it, and against what is wrong.

use std::time::Duration;

use axum::http::HeaderMap;

use super::refused::Refused;
use super::*;

const WINDOW: Window = Window(Duration::from_secs(300));

fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
    list.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

/// `None` in `expected`: it is believed; else a part of why it is not.
fn check<T: std::fmt::Debug>(verified: Result<T, Refused>, expected: Option<&str>) {
    match (verified, expected) {
        (Ok(_), None) => {}
        (Err(refused), Some(part)) => assert!(refused.to_string().contains(part), "{refused}, expected: {part}"),
        (verified, expected) => panic!("{verified:?}, expected: {expected:?}"),
    }
}

/// <https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries#testing-the-webhook-payload-validation>
#[test]
fn githubs_own_example_is_believed_and_nothing_else_is() {
    let (secret, body) = ("It's a Secret to Everybody", b"Hello, World!");
    let good = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let verify = |secrets: &[&str], signature: &str, body: &[u8]| {
        Github::new(secrets.iter().copied()).verify(&headers(&[("x-hub-signature-256", signature)]), body)
    };
    check(verify(&[secret], good, body), None);
    check(verify(&[secret], &good.to_uppercase().replace("SHA", "sha"), body), None);
    check(verify(&["the one that comes next", secret], good, body), None);
    check(verify(&["another secret"], good, body), Some("does not fit"));
    check(verify(&[secret], good, b"Hello, World! "), Some("does not fit"));
    check(verify(&[secret], &good[..good.len() - 2], body), Some("does not fit"));
    for malformed in ["", "sha256=", "sha1=00", "sha256=0", "sha256=zz", &good[7..]] {
        check(verify(&[secret], malformed, body), Some("allowed: sha256="));
    }
    let github = Github::new([secret]);
    check(github.verify(&headers(&[("x-hub-signature", good)]), body), Some("x-hub-signature-256 is missing"));
    let twice = headers(&[("x-hub-signature-256", good), ("x-hub-signature-256", good)]);
    check(github.verify(&twice, body), Some("more than once"));
}

/// The vector of the reference libraries, at its time.
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const AT: &str = "1614265330";
const AT_MS: i64 = 1_614_265_330_000;
const BODY: &[u8] = br#"{"test": 2432232314}"#;
const SHARED: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const SIGNED: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

fn standard(id: &'static str, at: &str, signature: &str) -> HeaderMap {
    headers(&[("webhook-id", id), ("webhook-timestamp", at), ("webhook-signature", signature)])
}

#[test]
fn the_vector_of_standard_webhooks_is_believed_within_its_time() {
    let other = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let verify = |secrets: &[&str], headers: &HeaderMap, body: &[u8], now_ms| {
        Standard::new(secrets.iter().copied(), WINDOW).unwrap().verify(headers, body, now_ms)
    };
    let good = standard(ID, AT, SIGNED);
    assert_eq!(verify(&[SHARED], &good, BODY, AT_MS).unwrap().as_str(), ID);
    check(verify(&[other, SHARED], &good, BODY, AT_MS), None);
    let several = format!("v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= v2,Zm9v {SIGNED}");
    check(verify(&[SHARED], &standard(ID, AT, &several), BODY, AT_MS), None);
    check(verify(&[SHARED], &good, BODY, AT_MS + 300_999), None);
    check(verify(&[SHARED], &good, BODY, AT_MS + 301_000), Some("webhook-timestamp is 301s from now"));
    check(verify(&[SHARED], &good, BODY, AT_MS - 301_000), Some("allowed: at most 5m"));
    check(verify(&[other], &good, BODY, AT_MS), Some("does not fit"));
    check(verify(&[SHARED], &good, b"{}", AT_MS), Some("does not fit"));
    check(verify(&[SHARED], &standard("msg_other", AT, SIGNED), BODY, AT_MS), Some("does not fit"));
    check(verify(&[SHARED], &standard(ID, "1614265331", SIGNED), BODY, AT_MS), Some("does not fit"));
    for unsigned in ["", "v1", "v1,", "v1,!", "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="] {
        check(verify(&[SHARED], &standard(ID, AT, unsigned), BODY, AT_MS), Some("does not fit"));
    }
    for missing in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        let mut headers = good.clone();
        headers.remove(missing);
        check(verify(&[SHARED], &headers, BODY, AT_MS), Some(&format!("{missing} is missing")));
    }
}

#[test]
fn standard_webhooks_by_private_key_are_believed() {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
    use base64::Engine as _;
    let base64 = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let pair = Ed25519KeyPair::generate().unwrap();
    let content = [ID.as_bytes(), b".", AT.as_bytes(), b".", BODY].concat();
    let signature = format!("v1a,{}", base64(pair.sign(&content).as_ref()));
    let public = format!("whpk_{}", base64(pair.public_key().as_ref()));
    let standard_of = |secret: &str| Standard::new([secret], WINDOW).unwrap();
    check(standard_of(&public).verify(&standard(ID, AT, &signature), BODY, AT_MS), None);
    check(standard_of(&public).verify(&standard(ID, AT, &signature), b"{}", AT_MS), Some("does not fit"));
    check(standard_of(SHARED).verify(&standard(ID, AT, &signature), BODY, AT_MS), Some("does not fit"));
    // The public key is no secret, so it must not do as one.
    check(standard_of(&public).verify(&standard(ID, AT, SIGNED), BODY, AT_MS), Some("does not fit"));
    for bad in ["", "whsec_", "whsec_!", "whsec_c2hvcnQ=", "whpk_c2hvcnQ=", "hunter2"] {
        assert_eq!(Standard::new([bad], WINDOW).err(), Some(BadStandardSecret), "{bad}");
    }
}

#[test]
fn gitlab_signs_or_sends_its_token() {
    let token = "a token that comes along";
    let verify = |secrets: &[&str], headers: &HeaderMap| {
        Gitlab::new(secrets.iter().copied(), WINDOW).unwrap().verify(headers, BODY, AT_MS)
    };
    let (sent, signed) = (headers(&[("x-gitlab-token", token)]), standard(ID, AT, SIGNED));
    check(verify(&[token], &sent), None);
    check(verify(&["the one that comes next", token], &sent), None);
    check(verify(&["another token, as long!!"], &sent), Some("does not fit"));
    check(verify(&[token], &headers(&[])), Some("x-gitlab-token is missing"));
    check(verify(&[token], &headers(&[("x-gitlab-token", "")])), Some("does not fit"));
    check(verify(&[SHARED], &signed), None);
    check(verify(&[SHARED], &sent), Some("webhook-id is missing"));
    check(verify(&[SHARED], &headers(&[("x-gitlab-token", SHARED)])), Some("webhook-id is missing"));
    // On the way from one to the other both are known.
    check(verify(&[SHARED, token], &sent), None);
    check(verify(&[SHARED, token], &signed), None);
    let mut wrong = standard(ID, AT, "v1,AAAA");
    wrong.insert("x-gitlab-token", token.parse().unwrap());
    check(verify(&[SHARED, token], &wrong), Some("does not fit"));
}

fn scheme(signed: &str) -> Scheme {
    Scheme {
        header: "x-signature".into(),
        prefix: String::new(),
        algorithm: Algorithm::Sha256,
        encoding: Encoding::Hex,
        signed: signed.parse().unwrap(),
        timestamp: None,
        id_header: None,
    }
}

/// RFC 4231, test case 2; RFC 2202, test case 2.
#[test]
fn an_hmac_is_of_any_algorithm_and_encoding() {
    let body = b"what do ya want for nothing?";
    let verify = |scheme: &Scheme, signature: &str| {
        Hmac::new(["Jefe"], scheme.clone()).verify(&headers(&[("x-signature", signature)]), body, 0)
    };
    let sha256 = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    let sha512 = "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737";
    let plain = scheme("{body}");
    check(verify(&plain, sha256), None);
    check(verify(&Scheme { algorithm: Algorithm::Sha512, ..plain.clone() }, sha512), None);
    let sha1 = Scheme { algorithm: Algorithm::Sha1, ..plain.clone() };
    check(verify(&sha1, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"), None);
    check(verify(&sha1, sha256), Some("does not fit"));
    let base64 = Scheme { encoding: Encoding::Base64, prefix: "sha256=".into(), ..plain.clone() };
    check(verify(&base64, "sha256=W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM="), None);
    check(verify(&base64, "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM="), Some("allowed: \"sha256=\" and a code"));
    check(verify(&plain, ""), Some("hexadecimal digits"));
}

/// As Slack documents it: <https://docs.slack.dev/authentication/verifying-requests-from-slack>
#[test]
fn an_hmac_may_sign_a_time_and_an_id() {
    let secret = "8f742231b10e8888abcd99yyyzzz85a5";
    let body = b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    let slack = Scheme {
        header: "x-slack-signature".into(),
        prefix: "v0=".into(),
        timestamp: Some(("x-slack-request-timestamp".into(), WINDOW)),
        ..scheme("v0:{timestamp}:{body}")
    };
    let signature = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
    let (signed, at_ms) = (("x-slack-signature", signature), 1_531_420_618_000);
    let verify =
        |list: &[(&'static str, &str)], now_ms| Hmac::new([secret], slack.clone()).verify(&headers(list), body, now_ms);
    let time = |text| [signed, ("x-slack-request-timestamp", text)];
    check(verify(&time("1531420618"), at_ms), None);
    check(verify(&time("1531420619"), at_ms), Some("does not fit"));
    check(verify(&time("1531420618"), at_ms + 301_000), Some("from now"));
    check(verify(&[signed], at_ms), Some("x-slack-request-timestamp is missing"));
}

#[test]
fn a_delivery_without_an_id_is_known_by_its_content() {
    let secret = "whatever it is";
    let signed_by = |content: &[u8]| {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
        let code = aws_lc_rs::hmac::sign(&key, content);
        code.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let plain = Hmac::new([secret], scheme("{body}"));
    let id = |body: &[u8]| plain.verify(&headers(&[("x-signature", &signed_by(body))]), body, 0).unwrap();
    assert_eq!(id(b"{}"), id(b"{}"));
    assert_ne!(id(b"{}"), id(b"[]"));
    let named = Hmac::new([secret], Scheme { id_header: Some("x-id".into()), ..scheme("{id}{body}") });
    let named_id = |id: &str, signed: &[u8]| {
        named.verify(&headers(&[("x-signature", &signed_by(signed)), ("x-id", id)]), b"{}", 0)
    };
    assert_eq!(named_id("7", b"7{}").unwrap().as_str(), "7");
    check(named_id("8", b"7{}"), Some("does not fit"));
    let long = "x".repeat(1_000);
    let cut = named_id(&long, format!("{long}{{}}").as_bytes()).unwrap();
    assert!(cut.as_str().len() < 255 && cut.as_str().starts_with("sha256-"), "{cut:?}");
}

#[test]
fn a_webhook_that_could_publish_nothing_is_refused() {
    use crate::connectors::git::Address;
    let repository = |url: &str| Address::parse(url, std::path::Path::new("/")).unwrap().id;
    let watched = || Some([repository("/srv/a")].into());
    let build = |kind, watched| {
        let webhook = Webhook { name: "w".into(), body_max_bytes: 1, kind };
        Webhooks::new([webhook], watched).map_err(|error| error.to_string())
    };
    let github = |url: &str| Kind::Github(Github::new(["s"]), Some(repository(url)));
    let event = |event_type: &str| {
        let target = EventTarget { event_type: event_type.into(), topic: "t".into(), key: Vec::new() };
        Kind::Hmac(Hmac::new(["s"], scheme("{body}")), target)
    };
    assert!(build(github("/srv/a/.git"), watched()).is_ok());
    assert!(build(github("/srv/b"), None).is_ok());
    assert!(build(github("/srv/b"), watched()).unwrap_err().contains("nobody watches repository file:///srv/b"));
    assert!(build(event("api.request"), None).is_ok());
    assert!(build(event("git.push"), None).unwrap_err().contains("are the git connector's"));
}

#[test]
fn nothing_shows_a_secret() {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let shown = format!(
        "{:?} {:?} {:?} {:?}",
        Github::new([secret]),
        Gitlab::new([secret, "MfKQ9r8GKYqr"], WINDOW),
        Standard::new([secret], WINDOW),
        Hmac::new([secret], scheme("{body}")),
    );
    assert!(!shown.contains("MfKQ9r8GKYqr"), "{shown}");
}
