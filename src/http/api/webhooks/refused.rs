//! Why a delivery is not believed, in words that its sender may know.

use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, header};

use crate::config::format_duration;
use crate::http::api::problem::Problem;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("header {0} is missing")]
    Missing(String),
    #[error("header {0} is there more than once")]
    Twice(String),
    #[error("header {header} is not allowed; allowed: {allowed}")]
    Malformed { header: String, allowed: String },
    #[error("{0} does not fit the body and any secret that is known here")]
    Mismatch(String),
    #[error("{header} is {} from now; allowed: at most {}", format_duration(*.apart), format_duration(*.allowed))]
    OutOfWindow { header: String, apart: Duration, allowed: Duration },
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        // RFC 9110 wants a challenge; there is no registered scheme for signed bodies.
        Self::new(StatusCode::UNAUTHORIZED, "not-signed", refused.to_string())
            .with_header(header::WWW_AUTHENTICATE, "Webhook-Signature realm=\"coafi\"")
    }
}

/// The one value of a header that must be there.
pub(super) fn required<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, Refused> {
    optional(headers, name)?.ok_or_else(|| Refused::Missing(name.to_owned()))
}

/// The one value of a header, if it is there.
pub(super) fn optional<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Refused> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Refused::Twice(name.to_owned()));
    }
    let malformed = |_| Refused::Malformed { header: name.to_owned(), allowed: "printable ASCII".to_owned() };
    value.to_str().map(Some).map_err(malformed)
}
