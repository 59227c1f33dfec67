//! Standard Webhooks' signatures: `webhook-signature` has one per secret over `<webhook-id>.<webhook-timestamp>.<body>`, each
//! `v1,<base64 of HMAC-SHA256>`, with blanks between them.
//!
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

pub(crate) const ID: &str = "webhook-id";
pub(crate) const TIMESTAMP: &str = "webhook-timestamp";
pub(crate) const SIGNATURE: &str = "webhook-signature";
/// Before a shared secret's base64.
pub(crate) const SHARED_PREFIX: &str = "whsec_";
/// What the specification wants of a shared secret.
const SECRET_BYTES_MIN: usize = 24;

/// Does not say what it is: it may be nearly the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a secret is not one of Standard Webhooks; allowed: whsec_ and at least {SECRET_BYTES_MIN} bytes in base64")]
pub struct BadSecret;

/// Signs with every secret it has: while one is replaced, receivers know one or the other.
#[derive(Clone, Debug)]
pub struct Signer(Vec<hmac::Key>);

impl Signer {
    /// # Errors
    /// A secret that is not `whsec_<base64>`, or too short.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Result<Self, BadSecret> {
        let key = |secret: &str| {
            let bytes = BASE64.decode(secret.strip_prefix(SHARED_PREFIX).ok_or(BadSecret)?).map_err(|_| BadSecret)?;
            if bytes.len() < SECRET_BYTES_MIN {
                return Err(BadSecret);
            }
            Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
        };
        secrets.into_iter().map(key).collect::<Result<_, _>>().map(Self)
    }

    /// The three headers, as of now. `id` stays the same when the same thing is sent again, so that a receiver knows it.
    #[must_use]
    pub fn sign(&self, id: &str, body: &[u8]) -> HeaderMap {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        self.sign_at(id, now, body)
    }

    fn sign_at(&self, id: &str, seconds: u64, body: &[u8]) -> HeaderMap {
        // What no header can hold is signed as it is sent.
        let id: String = id.chars().map(|c| if c.is_ascii_graphic() { c } else { '_' }).collect();
        let timestamp = seconds.to_string();
        let signatures: Vec<String> = self
            .0
            .iter()
            .map(|key| {
                let mut context = hmac::Context::with_key(key);
                [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].iter().for_each(|part| context.update(part));
                format!("v1,{}", BASE64.encode(context.sign()))
            })
            .collect();
        let of = |name, text: &str| (HeaderName::from_static(name), value(text));
        [of(ID, &id), of(TIMESTAMP, &timestamp), of(SIGNATURE, &signatures.join(" "))].into_iter().collect()
    }
}

fn value(text: &str) -> HeaderValue {
    text.parse().expect("graphic ASCII and blanks are allowed in a header")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The specification's own vector.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const EXPECTED: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    #[test]
    fn the_vector_of_standard_webhooks_is_signed_as_it_says() {
        let headers = Signer::new([SECRET]).unwrap().sign_at("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, BODY);
        assert_eq!(headers[SIGNATURE], EXPECTED);
        assert_eq!(headers[ID], "msg_p5jXN8AQM9LWM0D4loKWxJek");
        assert_eq!(headers[TIMESTAMP], "1614265330");
    }

    #[test]
    fn every_secret_signs_and_a_weak_one_is_refused() {
        let other = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let headers =
            Signer::new([other, SECRET]).unwrap().sign_at("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, BODY);
        let signatures: Vec<&str> = headers[SIGNATURE].to_str().unwrap().split(' ').collect();
        assert_eq!((signatures.len(), signatures[1]), (2, EXPECTED));
        for bad in ["", "hunter2", "whsec_", "whsec_!", "whsec_c2hvcnQ="] {
            assert_eq!(Signer::new([bad]).err(), Some(BadSecret), "{bad}");
        }
    }

    #[test]
    fn an_id_that_no_header_can_hold_is_sent_and_signed_alike() {
        let signer = Signer::new([SECRET]).unwrap();
        let headers = signer.sign_at("a\u{e9} b\n", 1, BODY);
        assert_eq!(headers[ID], "a__b_");
        assert_eq!(headers[SIGNATURE], signer.sign_at("a__b_", 1, BODY)[SIGNATURE]);
    }
}
