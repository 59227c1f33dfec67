//! Every way in which an envelope is refused, and those in which it is not.

use serde_json::json;

use super::*;
use crate::connectors::federated::keys::Validity;

const NOW: i64 = 1_800_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A domain `aero` with a key, another that is to come, and `space` with one of its own.
struct World {
    key: PrivateKey,
    next: PrivateKey,
    space: PrivateKey,
    verifier: Verifier,
}

impl World {
    fn new() -> Self {
        let (key, next, space) = (PrivateKey::generate(), PrivateKey::generate(), PrivateKey::generate());
        let domain_key = |kid: &str, key: &PrivateKey, validity| DomainKey {
            kid: kid.to_owned(),
            public: key.public().clone(),
            validity,
        };
        let until = Validity { not_before: None, not_after: Some(at(NOW + 1_000)) };
        let from = Validity { not_before: Some(at(NOW + 500)), not_after: None };
        let aero = vec![domain_key("aero-1", &key, until), domain_key("aero-2", &next, from)];
        let of_space = vec![domain_key("space-1", &space, Validity::default())];
        let lifetime = Lifetime { max: Duration::from_secs(300), leeway: Duration::from_secs(30) };
        let domains = [("aero".to_owned(), aero), ("space".to_owned(), of_space)];
        Self { key, next, space, verifier: Verifier::new("gaia", lifetime, domains) }
    }

    fn verify(&self, token: &str, now: i64) -> Result<Verified, Refusal> {
        self.verifier.verify("aero", token.as_bytes(), at(now)).map_err(|refused| refused.refusal)
    }
}

fn header() -> Value {
    json!({"alg": "EdDSA", "typ": "JWT", "kid": "aero-1"})
}

fn claims() -> Value {
    json!({
        "iss": "aero", "aud": "gaia", "iat": NOW, "exp": NOW + 300, "jti": "m-1",
        "event": {"specversion": "1.0", "id": "m-1", "source": "/aero/telemetry", "type": "SystemUpdateNotification",
                  "subject": "telemetry", "data": {"system": "telemetry"}},
    })
}

/// By hand, so that it may be as wrong as anybody's.
fn token(key: &PrivateKey, header: &Value, claims: &Value) -> String {
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let pair = aws_lc_rs::signature::Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.der()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(pair.sign(signed.as_bytes())))
}

#[test]
fn what_a_domain_signed_is_its_message() {
    let world = World::new();
    let claimed = Claims { issuer: "aero", audience: "gaia", issued: at(NOW), expires: at(NOW + 60) };
    let signed = sign(&world.key, "aero-1", &claimed, &claims()["event"]).unwrap();
    let verified = world.verify(&signed, NOW + 1).unwrap();
    let message = &verified.message;
    assert_eq!((&*message.message_id, &*message.source_domain), ("m-1", "aero"));
    assert_eq!((&*message.message_type, message.subject.as_deref()), ("SystemUpdateNotification", Some("telemetry")));
    assert_eq!((message.sent_at, &*message.payload), (NOW * 1_000, r#"{"system":"telemetry"}"#));
    assert_eq!(message.authentication.key_id.as_deref(), Some("aero-1"));
    // Whoever posts files has a line's end behind them.
    assert_eq!(world.verify(&format!("{signed}\n"), NOW + 1), Ok(verified));
}

#[test]
fn every_other_envelope_is_refused_for_its_reason() {
    let world = World::new();
    let check = |what: &str, change: &dyn Fn(&mut Value, &mut Value), expected: Result<(), Refusal>| {
        let (mut header, mut claims) = (header(), claims());
        change(&mut header, &mut claims);
        let verified = world.verify(&token(&world.key, &header, &claims), NOW + 1);
        assert_eq!(verified.map(drop), expected, "{what}");
    };
    check("as it should be", &|_, _| {}, Ok(()));
    check("several audiences", &|_, claims| claims["aud"] = json!(["x", "gaia"]), Ok(()));
    check("fractions of seconds", &|_, claims| claims["iat"] = json!(NOW as f64 + 0.25), Ok(()));
    check("no typ", &|header, _| drop(header.as_object_mut().unwrap().remove("typ")), Ok(()));
    check("within the leeway", &|_, claims| claims["iat"] = json!(NOW + 30), Ok(()));

    let refused = |refusal| Err(refusal);
    for algorithm in ["none", "HS256", "RS256", "ES256", "eddsa", ""] {
        check(algorithm, &|header, _| header["alg"] = json!(algorithm), refused(Refusal::Algorithm));
    }
    check("crit", &|header, _| header["crit"] = json!(["b64"]), refused(Refusal::Malformed));
    check("no kid", &|header, _| drop(header.as_object_mut().unwrap().remove("kid")), refused(Refusal::Malformed));
    check("unknown kid", &|header, _| header["kid"] = json!("aero-9"), refused(Refusal::UnknownKey));
    check("a key of another domain", &|header, _| header["kid"] = json!("space-1"), refused(Refusal::UnknownKey));
    check("a key that is not valid yet", &|header, _| header["kid"] = json!("aero-2"), refused(Refusal::KeyNotValid));

    check("another issuer", &|_, claims| claims["iss"] = json!("space"), refused(Refusal::Issuer));
    check("no issuer", &|_, claims| claims["iss"] = json!(null), refused(Refusal::Issuer));
    check("another audience", &|_, claims| claims["aud"] = json!("terra"), refused(Refusal::Audience));
    check("no audience", &|_, claims| claims["aud"] = json!([]), refused(Refusal::Audience));

    let times = |from: i64, to: i64| {
        move |_: &mut Value, claims: &mut Value| {
            (claims["iat"], claims["exp"]) = (json!(NOW + from), json!(NOW + to));
        }
    };
    check("it has expired", &times(-300, -30), refused(Refusal::Expired));
    check("of the future", &times(32, 60), refused(Refusal::NotYet));
    check("for too long", &times(0, 301), refused(Refusal::Lifetime));
    check("over before it begins", &times(10, 5), refused(Refusal::Lifetime));
    check("nbf", &|_, claims| claims["nbf"] = json!(NOW + 40), refused(Refusal::NotYet));
    for claim in ["iat", "exp", "jti", "event"] {
        check(claim, &|_, claims| claims[claim] = json!(null), refused(Refusal::Malformed));
    }
    check("exp is no time", &|_, claims| claims["exp"] = json!(-1), refused(Refusal::Malformed));
    check("exp is beyond all times", &|_, claims| claims["exp"] = json!(1e300), refused(Refusal::Malformed));

    check("jti is another's", &|_, claims| claims["jti"] = json!("m-2"), refused(Refusal::Malformed));
    check("no event", &|_, claims| claims["event"] = json!("x"), refused(Refusal::Malformed));
    let of_ours = |_: &mut Value, claims: &mut Value| claims["event"]["type"] = json!("workflow.requested");
    check("a type of ours", &of_ours, refused(Refusal::TypeNotAllowed));
}

#[test]
fn nobody_else_can_sign_for_a_domain() {
    let world = World::new();
    let by_space = token(&world.space, &header(), &claims());
    assert_eq!(world.verify(&by_space, NOW), Err(Refusal::BadSignature), "another domain's key");
    let good = token(&world.key, &header(), &claims());
    let mut other = claims();
    other["event"]["data"] = json!({"system": "brakes"});
    let part = URL_SAFE_NO_PAD.encode(other.to_string());
    let parts: Vec<&str> = good.split('.').collect();
    let changed = format!("{}.{part}.{}", parts[0], parts[2]);
    assert_eq!(world.verify(&changed, NOW), Err(Refusal::BadSignature), "changed on the way");
    assert_eq!(world.verify(&format!("{}.{}.", parts[0], parts[1]), NOW), Err(Refusal::BadSignature), "unsigned");
    let of_space = world.verifier.verify("space", good.as_bytes(), at(NOW)).unwrap_err();
    assert_eq!(of_space.refusal, Refusal::UnknownKey, "sent to another domain's place");
    // The public key as a secret: what a library that believes the token would do.
    let secret = EncodingKey::from_secret(world.key.public().pem().as_bytes());
    let header = Header { kid: Some("aero-1".to_owned()), ..Header::new(Algorithm::HS256) };
    let confused = encode(&header, &claims(), &secret).unwrap();
    assert_eq!(world.verify(&confused, NOW), Err(Refusal::Algorithm));
    for rubbish in ["", "a.b.c", "{}", "eyJhbGciOiJFZERTQSJ9", &parts[..2].join(".")] {
        assert_eq!(world.verify(rubbish, NOW), Err(Refusal::Malformed), "{rubbish:?}");
    }
}

#[test]
fn keys_are_changed_without_a_gap() {
    let world = World::new();
    let (old, mut new) = (header(), header());
    new["kid"] = json!("aero-2");
    let signed = |key, header: &Value, now: i64| {
        let mut claims = claims();
        (claims["iat"], claims["exp"]) = (json!(now), json!(now + 60));
        world.verify(&token(key, header, &claims), now).map(drop)
    };
    for (now, by_old, by_new) in [
        (NOW, Ok(()), Err(Refusal::KeyNotValid)),
        (NOW + 500, Ok(()), Ok(())),
        (NOW + 1_000, Ok(()), Ok(())),
        (NOW + 1_001, Err(Refusal::KeyNotValid), Ok(())),
    ] {
        assert_eq!((signed(&world.key, &old, now), signed(&world.next, &new, now)), (by_old, by_new), "{now}");
    }
}

/// Made by `PyJWT` 2.10 with `cryptography` 50 (`tests/payloads/README.md` says how).
#[test]
fn an_envelope_that_another_tool_made_is_taken() {
    let read = |name: &str| {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/payloads").join(name);
        std::fs::read_to_string(path).unwrap()
    };
    let public = crate::connectors::federated::PublicKey::parse(&read("federated_key.pem")).unwrap();
    let key = DomainKey { kid: "aero-1".to_owned(), public, validity: Validity::default() };
    let lifetime = Lifetime { max: Duration::from_secs(300), leeway: Duration::ZERO };
    let verifier = Verifier::new("gaia", lifetime, [("aero".to_owned(), vec![key])]);
    let verified = verifier.verify("aero", read("federated_envelope.jwt").as_bytes(), at(NOW)).unwrap();
    assert_eq!(verified.message.message_type, "SystemUpdateNotification");
    assert_eq!(verified.message.payload, r#"{"system":"telemetry","version":"2.1.0"}"#);
}
