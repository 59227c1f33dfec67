//! What kind of failure an answer is, or that there is none.
//!
//! | answer | class |
//! |---|---|
//! | 2xx | none |
//! | 408, 425, 429 | transient, no sooner than `Retry-After` says |
//! | 3xx, other 4xx | permanent: redirects are not followed |
//! | other 4xx with a problem document, while a caller waits | refused, as the caller is told |
//! | 5xx | transient, no sooner than `Retry-After` says |
//! | 502, 503, 504 without `Retry-After`, while a second look finds nobody either | systemic, as a proxy says it whose server is away |
//! | no address, connection or TLS; an address that may not be called | systemic: nothing was sent |
//! | none in time, broken off | transient: it may have been received |
//! | the same, while a second look finds nobody either | systemic: it is sent again under its `webhook-id` |
//! | too large | permanent |

use std::time::Duration;

use crate::dispatch::{Failure, Services, ask};
use crate::engine::{Class, Dependency};
use crate::event::incoming::essence;
use crate::outgoing::{Answer, CallError, Called, HTTP_ENDPOINT};

/// The media type of a problem document.
const PROBLEM: &str = "application/problem+json";

#[derive(serde::Deserialize)]
struct Problem {
    detail: Option<String>,
}

/// Statuses of a refusal that the API's description has, `400` besides.
const TOLD_AS_IT_IS: [u16; 5] = [404, 405, 409, 412, 428];

/// Of a failure's answer that are shown.
const EXCERPT_BYTES_MAX: usize = 300;

/// # Errors
/// Any status but 2xx.
pub(crate) async fn verdict(services: &Services, name: &str, called: &Called) -> Result<(), Failure> {
    let status = called.answer.status.as_u16();
    let may_be_away = matches!(status, 502..=504) && called.retry_after.is_none();
    let is_away = may_be_away && services.endpoints.answers(name).await.is_err();
    judged(name, status, &called.answer.body, called.retry_after, is_away)
}

fn judged(name: &str, status: u16, body: &[u8], retry_after: Option<Duration>, is_away: bool) -> Result<(), Failure> {
    let said = excerpt(body);
    let separator = if said.is_empty() { "" } else { ": " };
    let message = format!("{name} answered {status}{separator}{said}");
    let failure = match status {
        200..=299 => return Ok(()),
        _ if is_away => away(name, "endpoint_away", message),
        408 | 425 | 429 => Failure::transient("endpoint_not_now", message),
        300..=399 => Failure::permanent("endpoint_redirects", format!("{message}; redirects are not followed")),
        400..=499 => Failure::permanent("endpoint_refused", message),
        _ => Failure::transient("endpoint_failed", message),
    };
    let failure = failure.about(name);
    Err(match retry_after {
        Some(wait) => failure.with_retry_after(wait),
        None => failure,
    })
}

/// A 4xx with a problem document (RFC 9457) is meant for the caller, if one waits: it can mend it, and nobody else has to. Any other
/// 4xx may be a proxy's, or an address that is wrong, and is a dead letter as ever.
pub(super) fn told(failure: Failure, answer: &Answer, somebody_waits: bool) -> Failure {
    let status = answer.status.as_u16();
    let media = answer.headers.get("content-type").and_then(|media| media.to_str().ok()).unwrap_or_default();
    if !somebody_waits || failure.class != Class::Permanent || status < 400 || essence(media) != PROBLEM {
        return failure;
    }
    let detail = serde_json::from_slice::<Problem>(&answer.body).ok().and_then(|problem| problem.detail);
    let message = detail.map_or_else(|| failure.message.clone(), |detail| excerpt(detail.as_bytes()));
    let status = if TOLD_AS_IT_IS.contains(&status) { status } else { 400 };
    Failure { class: Class::Invalid, message, ..failure }.with_status(status)
}

/// There was no answer.
pub(crate) async fn unanswered(services: &Services, name: &str, error: &CallError) -> Failure {
    let may_be_away = matches!(error, CallError::Timeout(_) | CallError::Broken(_));
    let is_away = may_be_away && ask(services, &Dependency::new(&format!("{HTTP_ENDPOINT}{name}"))).await.is_err();
    lost(name, error, is_away)
}

fn lost(name: &str, error: &CallError, is_away: bool) -> Failure {
    let message = format!("{name}: {error}");
    let failure = match error {
        CallError::Unreachable(_) => away(name, "endpoint_unreachable", message),
        // For whoever runs this to mend; until then its events wait.
        CallError::Refused(_) => away(name, "endpoint_not_allowed", message),
        CallError::Timeout(_) | CallError::Broken(_) if is_away => away(name, "endpoint_away", message),
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
pub(super) fn excerpt(body: &[u8]) -> String {
    let start = &body[..body.len().min(EXCERPT_BYTES_MAX)];
    let text: String = String::from_utf8_lossy(start).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let more = if body.len() > EXCERPT_BYTES_MAX { "…" } else { "" };
    format!("{}{more}", text.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_a_class() {
        let check =
            |status: u16, retry_after: Option<u64>, is_away: bool, expected: Option<(&str, &str, Option<u64>)>| {
                let wait = retry_after.map(Duration::from_secs);
                let failure = judged("enrich", status, b"no\n", wait, is_away).err();
                let got = failure.as_ref().map(|f| (f.class.name(), f.code, f.retry_after.map(|wait| wait.as_secs())));
                assert_eq!(got, expected, "{status}");
            };
        for success in [200, 202, 204, 299] {
            check(success, None, false, None);
        }
        for later in [408, 425, 429] {
            check(later, Some(7), false, Some(("transient", "endpoint_not_now", Some(7))));
        }
        for never in [400, 401, 404, 410, 422, 499] {
            check(never, None, false, Some(("permanent", "endpoint_refused", None)));
        }
        check(307, None, false, Some(("permanent", "endpoint_redirects", None)));
        check(500, None, false, Some(("transient", "endpoint_failed", None)));
        check(503, Some(1), false, Some(("transient", "endpoint_failed", Some(1))));
        check(503, None, false, Some(("transient", "endpoint_failed", None)));
        check(503, None, true, Some(("systemic", "endpoint_away", None)));
    }

    #[test]
    fn a_caller_who_waits_is_told_what_is_meant_for_it() {
        for (status, media, waits, expected) in [
            (404, "application/problem+json", true, ("invalid", Some(404), "no such part")),
            (422, "application/problem+json; charset=utf-8", true, ("invalid", Some(400), "no such part")),
            (404, "application/problem+json", false, ("permanent", None, "")),
            (404, "application/json", true, ("permanent", None, "")),
            (307, "application/problem+json", true, ("permanent", None, "")),
            (429, "application/problem+json", true, ("transient", None, "")),
            (500, "application/problem+json", true, ("transient", None, "")),
        ] {
            let body = bytes::Bytes::from_static(br#"{"title":"t","detail":"no such part"}"#);
            let headers = [("content-type".parse().unwrap(), media.parse().unwrap())].into_iter().collect();
            let answer = Answer { status: status.try_into().unwrap(), headers, body };
            let failure = judged("enrich", status, &answer.body, None, false).unwrap_err();
            let told = told(failure.clone(), &answer, waits);
            let message = if expected.2.is_empty() { &*failure.message } else { expected.2 };
            assert_eq!((told.class.name(), told.status), (expected.0, expected.1), "{status} {media} {waits}");
            assert_eq!((told.code, &*told.message), (failure.code, message));
        }
    }

    #[test]
    fn what_was_not_sent_is_an_outage_and_what_may_have_been_received_is_not() {
        let class = |error: CallError| lost("enrich", &error, false).class;
        assert_eq!(class(CallError::Unreachable("refused".to_owned())), away("enrich", "", String::new()).class);
        assert!(
            matches!(class(CallError::Refused("127.0.0.1".to_owned())), Class::Systemic(d) if &*d.0 == "http:enrich")
        );
        assert_eq!(class(CallError::Timeout(Duration::from_secs(1))), Class::Transient);
        assert_eq!(class(CallError::Broken("reset".to_owned())), Class::Transient);
        assert_eq!(class(CallError::TooLarge(1)), Class::Permanent);
        for error in [CallError::Timeout(Duration::from_secs(1)), CallError::Broken("reset".to_owned())] {
            assert_eq!(lost("enrich", &error, true).class, away("enrich", "", String::new()).class, "{error}");
        }
        assert_eq!(lost("enrich", &CallError::TooLarge(1), true).class, Class::Permanent);
    }

    #[test]
    fn a_body_is_shown_on_one_line_and_in_part() {
        assert_eq!(excerpt(b"a\r\n\x07b\xff "), "a   b\u{fffd}");
        assert_eq!(excerpt(&[b'x'; 1_000]).chars().count(), EXCERPT_BYTES_MAX + 1);
        assert_eq!(excerpt(b" \n"), "");
    }
}
