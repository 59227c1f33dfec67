//! Tokens as an identity provider makes them, and as somebody forges them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::get;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::http::Server;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

fn settings() -> JwtSettings {
    JwtSettings {
        issuer: Some("https://issuer".into()),
        audience: Some("coafi".into()),
        secret: Some(SECRET.to_vec()),
        permissions_claim: "permissions".into(),
        jwks_refresh: Duration::from_secs(300),
        ..JwtSettings::default()
    }
}

/// Seconds since the Unix epoch; the checked library reads the system's clock itself.
fn now() -> i64 {
    crate::runtime::unix_ms() / 1_000
}

fn claims() -> Value {
    json!({"iss": "https://issuer", "aud": "coafi", "sub": "ada", "exp": now() + 60, "permissions": ["api:*"]})
}

fn with(member: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[member] = value;
    claims
}

fn token(algorithm: Algorithm, kid: Option<&str>, claims: &Value, key: &EncodingKey) -> String {
    encode(&Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) }, claims, key).unwrap()
}

async fn check(claims: Value, expected: Result<&str, ()>) {
    let jwt = Jwt::new(&settings()).unwrap().unwrap();
    let token = token(Algorithm::HS256, None, &claims, &EncodingKey::from_secret(SECRET));
    let principal = jwt.principal(&token).await;
    assert_eq!(principal.map(|principal| principal.name).map_err(drop), expected.map(str::to_owned), "{claims}");
}

#[tokio::test]
async fn every_claim_that_counts_is_checked() {
    check(claims(), Ok("jwt:ada")).await;
    check(with("aud", json!(["other", "coafi"])), Ok("jwt:ada")).await;
    check(with("iss", json!("https://other")), Err(())).await;
    check(with("aud", json!("other")), Err(())).await;
    check(with("exp", json!(now() - 3_600)), Err(())).await;
    check(with("nbf", json!(now() + 3_600)), Err(())).await;
    for member in ["iss", "aud", "sub", "exp"] {
        check(with(member, Value::Null), Err(())).await;
    }
    check(with("sub", json!("")), Err(())).await;
    check(with("sub", json!("a\nb")), Err(())).await;
    check(with("sub", json!("x".repeat(SUBJECT_BYTES_MAX + 1))), Err(())).await;
}

#[tokio::test]
async fn permissions_are_a_list_or_words() {
    let jwt = Jwt::new(&settings()).unwrap().unwrap();
    for (claim, expected) in [
        (json!(["api:a:POST", "api:b:POST"]), vec!["api:a:POST", "api:b:POST"]),
        (json!("api:a:POST api:b:POST"), vec!["api:a:POST", "api:b:POST"]),
        (json!(7), vec![]),
    ] {
        let token = token(Algorithm::HS256, None, &with("permissions", claim), &EncodingKey::from_secret(SECRET));
        assert_eq!(jwt.principal(&token).await.unwrap().permissions, expected);
    }
}

#[tokio::test]
async fn forgeries_are_refused() {
    let jwt = Jwt::new(&settings()).unwrap().unwrap();
    let good = token(Algorithm::HS256, None, &claims(), &EncodingKey::from_secret(SECRET));
    let (signed, _) = good.rsplit_once('.').unwrap();
    let other = token(Algorithm::HS256, None, &claims(), &EncodingKey::from_secret(&[b'x'; 32]));
    let (_, others) = other.rsplit_once('.').unwrap();
    // {"alg":"none"}
    let none = format!("eyJhbGciOiJub25lIn0.{}.", good.split('.').nth(1).unwrap());
    let header = Header { crit: Some(vec!["x".to_owned()]), ..Header::new(Algorithm::HS256) };
    let extended = encode(&header, &claims(), &EncodingKey::from_secret(SECRET)).unwrap();
    let hs512 = token(Algorithm::HS512, None, &claims(), &EncodingKey::from_secret(SECRET));
    for forged in
        [format!("{signed}."), format!("{signed}.{others}"), none, hs512, extended, "a.b.c".into(), String::new()]
    {
        assert!(matches!(jwt.principal(&forged).await, Err(Refused::Invalid(_))), "{forged}");
    }
}

/// A provider whose key set is what the test says, on a real socket.
struct Provider {
    url: String,
    set: Arc<Mutex<Value>>,
    fetches: Arc<AtomicUsize>,
    _stop: tokio_util::sync::DropGuard,
}

impl Provider {
    async fn start() -> Self {
        let (set, fetches) = (Arc::new(Mutex::new(json!({"keys": []}))), Arc::new(AtomicUsize::new(0)));
        let (served, counted) = (Arc::clone(&set), Arc::clone(&fetches));
        let page = move || {
            counted.fetch_add(1, Ordering::Relaxed);
            let text = served.lock().unwrap().to_string();
            async move { text }
        };
        let server = Server::bind("http.listen", "127.0.0.1:0".parse().unwrap()).await.unwrap();
        let (url, stop) = (format!("http://{}/jwks", server.address()), CancellationToken::new());
        tokio::spawn(server.run(Router::new().route("/jwks", get(page)), stop.clone()));
        Self { url, set, fetches, _stop: stop.drop_guard() }
    }

    fn publish(&self, keys: &[&pairs::Pair]) {
        *self.set.lock().unwrap() = json!({"keys": keys.iter().map(|pair| pair.public.clone()).collect::<Vec<_>>()});
    }

    fn jwt(&self) -> Jwt {
        let settings = JwtSettings { jwks_url: Some(self.url.clone()), secret: None, ..settings() };
        Jwt::new(&settings).unwrap().unwrap()
    }
}

/// Key pairs, made with the cryptography that is in the tree.
mod pairs {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::jwk::Jwk;
    use jsonwebtoken::{Algorithm, EncodingKey};
    use serde_json::{Value, json};

    pub(super) struct Pair {
        pub(super) algorithm: Algorithm,
        pub(super) private: EncodingKey,
        pub(super) public: Value,
    }

    impl Pair {
        /// An Ed25519 key of this seed, by RFC 8410.
        pub(super) fn ed25519(kid: &str, seed: u8) -> Self {
            let mut der = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
            der.extend([seed; 32]);
            Self::of(kid, Algorithm::EdDSA, EncodingKey::from_ed_der(&der))
        }

        /// The example key of RFC 7515, appendix A.3, in PKCS #8.
        pub(super) fn p256(kid: &str) -> Self {
            let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
            let (d, x, y) = (
                decode("jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"),
                decode("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"),
                decode("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"),
            );
            let mut der = vec![0x30, 0x81, 0x87, 2, 1, 0, 0x30, 0x13];
            der.extend([6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]);
            der.extend([4, 0x6d, 0x30, 0x6b, 2, 1, 1, 4, 0x20]);
            der.extend(d);
            der.extend([0xa1, 0x44, 3, 0x42, 0, 4]);
            der.extend(x);
            der.extend(y);
            Self::of(kid, Algorithm::ES256, EncodingKey::from_ec_der(&der))
        }

        fn of(kid: &str, algorithm: Algorithm, private: EncodingKey) -> Self {
            let mut public = serde_json::to_value(Jwk::from_encoding_key(&private, algorithm).unwrap()).unwrap();
            public["kid"] = json!(kid);
            Self { algorithm, private, public }
        }
    }
}

async fn name(jwt: &Jwt, pair: &pairs::Pair, kid: Option<&str>) -> Result<String, Refused> {
    jwt.principal(&token(pair.algorithm, kid, &claims(), &pair.private)).await.map(|principal| principal.name)
}

#[tokio::test]
async fn a_key_that_the_provider_has_rotated_in_is_fetched() {
    tokio::time::pause();
    let provider = Provider::start().await;
    let (old, new) = (pairs::Pair::ed25519("old", 1), pairs::Pair::p256("new"));
    provider.publish(&[&old]);
    let jwt = provider.jwt();
    assert_eq!(name(&jwt, &old, Some("old")).await.unwrap(), "jwt:ada");
    assert_eq!(name(&jwt, &old, None).await.unwrap(), "jwt:ada", "it is the only one of its kind");
    assert_eq!(provider.fetches.load(Ordering::Relaxed), 1);
    provider.publish(&[&new]);
    assert!(name(&jwt, &new, Some("new")).await.is_err(), "it was fetched a moment ago");
    tokio::time::advance(Duration::from_secs(6)).await;
    assert_eq!(name(&jwt, &new, Some("new")).await.unwrap(), "jwt:ada");
    assert!(name(&jwt, &old, Some("old")).await.is_err(), "it was rotated out");
    assert_eq!(provider.fetches.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_key_checks_its_own_algorithm_only() {
    let provider = Provider::start().await;
    let (ed, p256) = (pairs::Pair::ed25519("k", 1), pairs::Pair::p256("k"));
    provider.publish(&[&ed]);
    let jwt = provider.jwt();
    assert!(matches!(name(&jwt, &p256, Some("k")).await, Err(Refused::Invalid(_))));
    // The public key, which anybody has, as if it were a secret.
    let secret = EncodingKey::from_secret(ed.public["x"].as_str().unwrap().as_bytes());
    let forged = token(Algorithm::HS256, Some("k"), &claims(), &secret);
    assert!(matches!(jwt.principal(&forged).await, Err(Refused::Invalid(_))));
}

#[tokio::test]
async fn a_provider_that_does_not_answer_is_no_fault_of_the_caller() {
    let settings = JwtSettings { jwks_url: Some("http://127.0.0.1:1/jwks".into()), secret: None, ..settings() };
    let jwt = Jwt::new(&settings).unwrap().unwrap();
    assert_eq!(name(&jwt, &pairs::Pair::ed25519("k", 1), Some("k")).await, Err(Refused::Unavailable));
}
