//! What kind of failure an answer is, or that there is none.
//!
//! | answer | class |
//! |---|---|
//! | 2xx | none |
//! | 408, 425, 429 | transient, no sooner than `Retry-After` says |
//! | 3xx, other 4xx | permanent: redirects are not followed |
//! | 5xx | transient, no sooner than `Retry-After` says |
//! | 502, 503, 504 without `Retry-After`, while a second look finds nobody either | systemic, as a proxy says it whose server is away |
//! | no address, connection or TLS; an address that may not be called | systemic: nothing was sent |
//! | none in time, broken off | transient: it may have been received |
//! | too large | permanent |

use crate::dispatch::{Failure, Services};
use crate::outgoing::{CallError, Called, HTTP_ENDPOINT};

/// Of a failure's answer that are shown.
const EXCERPT_BYTES_MAX: usize = 300;

/// # Errors
/// Any status but 2xx.
pub(crate) async fn verdict(services: &Services, name: &str, called: &Called) -> Result<(), Failure> {
    let status = called.answer.status.as_u16();
    let said = excerpt(&called.answer.body);
    let message = if said.is_empty() { format!("{name} answered {status}") } else { format!("{name} answered {status}: {said}") };
    let failure = match status {
        200..=299 => return Ok(()),
        408 | 425 | 429 => Failure::transient("endpoint_not_now", message),
        300..=399 => Failure::permanent("endpoint_redirects", format!("{message}; redirects are not followed")),
        400..=499 => Failure::permanent("endpoint_refused", message),
        502..=504 if called.retry_after.is_none() => match services.endpoints.answers(name).await {
            Ok(()) => Failure::transient("endpoint_failed", message),
            Err(_) => away(name, "endpoint_away", message),
        },
        _ => Failure::transient("endpoint_failed", message),
    };
    let failure = failure.about(name);
    Err(match called.retry_after {
        Some(wait) => failure.with_retry_after(wait),
        None => failure,
    })
}

/// There was no answer.
pub(crate) fn unanswered(name: &str, error: &CallError) -> Failure {
    let message = format!("{name}: {error}");
    let failure = match error {
        CallError::Unreachable(_) => away(name, "endpoint_unreachable", message),
        // For whoever runs this to mend; until then its events wait.
        CallError::Refused(_) => away(name, "endpoint_not_allowed", message),
        CallError::Timeout(_) => Failure::transient("endpoint_timeout", message),
        CallError::Broken(_) => Failure::transient("endpoint_broke_off", message),
        CallError::TooLarge(_) => Failure::permanent("endpoint_answer_too_large", message),
    };
    failure.about(name)
}

fn away(name: &str, code: &'static str, message: String) -> Failure {
    Failure::systemic(&format!("{HTTP_ENDPOINT}{name}"), code, message)
}

/// The beginning of a body, on one line.
pub(crate) fn excerpt(body: &[u8]) -> String {
    let start = &body[..body.len().min(EXCERPT_BYTES_MAX)];
    let text: String = String::from_utf8_lossy(start).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let more = if body.len() > EXCERPT_BYTES_MAX { "…" } else { "" };
    format!("{}{more}", text.trim())
}
