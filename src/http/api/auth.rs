//! From a request's headers to who asks.

use axum::http::{HeaderMap, header};

use super::jwt::Jwt;
pub use super::jwt::JwtSettings;
use super::keys::{self, KeyEntry, Keys};
use super::principal::Principal;
use super::problem::Problem;

/// Of a key or a token.
const CREDENTIAL_BYTES_MAX: usize = 8 * 1024;
const API_KEY: &str = "x-api-key";

/// Checks API keys and bearer tokens.
#[derive(Debug)]
pub struct Authenticator {
    keys: Keys,
    jwt: Option<Jwt>,
}

/// Why there is no authenticator.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    #[error("the keys of tokens cannot be fetched: {0}")]
    Tls(#[from] reqwest::Error),
}

/// Why a credential was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Invalid(String),
    /// Whoever could say does not answer.
    Unavailable,
}

impl Authenticator {
    /// # Errors
    /// [`AuthError`]
    pub fn new(keys: &[KeyEntry], jwt: &JwtSettings) -> Result<Self, AuthError> {
        Ok(Self { keys: Keys::new(keys), jwt: Jwt::new(jwt)? })
    }

    /// Who asks: by `Authorization: Bearer <key or token>` or `X-API-Key: <key>`.
    ///
    /// # Errors
    /// 401, or 503 where nobody can tell.
    pub(super) async fn principal(&self, headers: &HeaderMap) -> Result<Principal, Problem> {
        let credential = credential(headers)?;
        if keys::is_key(credential) {
            let known = self.keys.principal(credential).cloned();
            return known.ok_or_else(|| Problem::unauthorized("the key is not known here"));
        }
        let Some(jwt) = &self.jwt else {
            return Err(Problem::unauthorized("the credential is no API key, and tokens are not taken here"));
        };
        jwt.principal(credential).await.map_err(|refused| match refused {
            Refused::Invalid(why) => Problem::unauthorized(why),
            Refused::Unavailable => Problem::unavailable("the token cannot be checked at the moment"),
        })
    }
}

fn credential(headers: &HeaderMap) -> Result<&str, Problem> {
    let missing = "send \"Authorization: Bearer <key or token>\" or \"X-API-Key: <key>\"";
    let one = |name: &str| {
        let mut values = headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => Ok(Some(value.to_str().unwrap_or_default())),
            (None, _) => Ok(None),
            (Some(_), Some(_)) => Err(Problem::unauthorized(format!("{name} is there more than once"))),
        }
    };
    let bearer = match one(header::AUTHORIZATION.as_str())? {
        None => None,
        Some(value) => match value.split_once(' ') {
            Some((scheme, credential)) if scheme.eq_ignore_ascii_case("bearer") => Some(credential.trim()),
            _ => return Err(Problem::unauthorized(format!("the authorization scheme is not known; {missing}"))),
        },
    };
    match (bearer, one(API_KEY)?) {
        (Some(_), Some(_)) => Err(Problem::unauthorized("there are two credentials; send one")),
        (Some(credential), None) | (None, Some(credential)) if !credential.is_empty() => {
            if credential.len() > CREDENTIAL_BYTES_MAX {
                return Err(Problem::unauthorized(format!(
                    "the credential has more than {CREDENTIAL_BYTES_MAX} bytes"
                )));
            }
            Ok(credential)
        }
        _ => Err(Problem::unauthorized(format!("a credential is missing; {missing}"))),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderName, HeaderValue};

    use super::*;

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        let header = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        list.iter().map(header).collect()
    }

    #[test]
    fn there_is_exactly_one_credential() {
        let check = |list: &[(&'static str, &str)], expected: Option<&str>| {
            assert_eq!(credential(&headers(list)).ok(), expected, "{list:?}");
        };
        check(&[], None);
        check(&[("authorization", "Bearer abc")], Some("abc"));
        check(&[("authorization", "bearer  abc")], Some("abc"));
        check(&[("authorization", "Basic abc")], None);
        check(&[("authorization", "Bearer")], None);
        check(&[("authorization", "Bearer ")], None);
        check(&[("x-api-key", "abc")], Some("abc"));
        check(&[("x-api-key", "abc"), ("authorization", "Bearer abc")], None);
        check(&[("x-api-key", "abc"), ("x-api-key", "def")], None);
        check(&[("x-api-key", &"a".repeat(CREDENTIAL_BYTES_MAX + 1))], None);
    }

    #[tokio::test]
    async fn who_has_no_key_and_no_token_is_nobody() {
        let key = keys::NewKey::generate();
        let entry = KeyEntry { principal: "ci".into(), sha256: key.sha256, permissions: Vec::new() };
        let auth = Authenticator::new(&[entry], &JwtSettings::default()).unwrap();
        let status = async |credential: &str| {
            auth.principal(&headers(&[("x-api-key", credential)])).await.map_err(|problem| problem.status.as_u16())
        };
        assert_eq!(status(&key.key).await.unwrap().name, "key:ci");
        assert_eq!(status(&keys::NewKey::generate().key).await, Err(401));
        assert_eq!(status("a.b.c").await, Err(401));
        assert_eq!(auth.principal(&HeaderMap::new()).await.map_err(|problem| problem.status.as_u16()), Err(401));
    }
}
