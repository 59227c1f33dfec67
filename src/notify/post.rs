//! Messages that are posted, and what the answers mean.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use serde_json::Value;

use super::{Alertmanager, SendError, Sent};
use crate::outgoing::{Answer, CallError, Client, Request, Signer};

/// Of one call.
const TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Of an answer, in messages.
const SHOWN_CHARS_MAX: usize = 200;

/// # Errors
/// [`SendError`]
pub(super) async fn slack(client: &Client, url: &Url, body: &Value) -> Result<Sent, SendError> {
    post(client, url, HeaderMap::new(), body).await
}

/// # Errors
/// [`SendError`]
pub(super) async fn webhook(
    client: &Client,
    url: &Url,
    signer: &Signer,
    id: &str,
    body: &Value,
) -> Result<Sent, SendError> {
    post(client, url, signer.sign(id, body.to_string().as_bytes()), body).await
}

/// # Errors
/// [`SendError`]
pub(super) async fn alertmanager(client: &Client, to: &Alertmanager, body: &Value) -> Result<Sent, SendError> {
    let mut url = to.url.expose().clone();
    let path = format!("{}/api/v2/alerts", url.path().trim_end_matches('/'));
    url.set_path(&path);
    post(client, &url, credentials(to), body).await
}

fn credentials(to: &Alertmanager) -> HeaderMap {
    let (Some(username), Some(password)) = (&to.username, &to.password) else { return HeaderMap::new() };
    let basic = format!("Basic {}", BASE64.encode(format!("{username}:{}", password.expose())));
    let mut value = HeaderValue::from_str(&basic).expect("base64 is allowed in a header");
    value.set_sensitive(true);
    [(AUTHORIZATION, value)].into_iter().collect()
}

/// Any answer is one, but that of a proxy whose server is away.
///
/// # Errors
/// What stands in the way.
pub(super) async fn answers(client: &Client, url: &Url) -> Result<(), String> {
    let mut root = url.clone();
    // Nothing is posted where people would see it.
    root.set_path("/");
    root.set_query(None);
    let answer = call(client, Method::HEAD, &root, HeaderMap::new(), Vec::new()).await;
    match answer.map_err(|error| error.to_string())?.status {
        status @ (StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT) => {
            Err(status.to_string())
        }
        _ => Ok(()),
    }
}

async fn post(client: &Client, url: &Url, mut headers: HeaderMap, body: &Value) -> Result<Sent, SendError> {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    match call(client, Method::POST, url, headers, body.to_string().into_bytes()).await {
        Ok(answer) => meaning(&answer),
        Err(CallError::Unreachable(message)) => Err(SendError::Unreachable(message)),
        Err(CallError::Refused(message)) => Err(SendError::Refused(message)),
        // It has arrived, whatever was said about it then.
        Err(error @ CallError::TooLarge(_)) => Ok(Sent { answer: error.to_string() }),
        Err(error @ (CallError::Timeout(_) | CallError::Broken(_))) => {
            Err(SendError::Later { message: error.to_string(), after: None })
        }
    }
}

async fn call(
    client: &Client,
    method: Method,
    url: &Url,
    headers: HeaderMap,
    body: Vec<u8>,
) -> Result<Answer, CallError> {
    let (url, body, timeout, answer_bytes_max) = (url.clone(), body.into(), TIMEOUT, ANSWER_BYTES_MAX);
    client.call(Request { method, url, headers, body, timeout, answer_bytes_max }).await
}

/// | status | |
/// |---|---|
/// | 2xx | sent |
/// | 408, 425, 429, 5xx | later |
/// | any other | refused |
fn meaning(answer: &Answer) -> Result<Sent, SendError> {
    let status = answer.status;
    let body = String::from_utf8_lossy(&answer.body);
    let shown: String =
        body.trim().chars().take(SHOWN_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let said = if shown.is_empty() { status.to_string() } else { format!("{status}: {shown}") };
    let passes = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
    if status.is_success() {
        Ok(Sent { answer: said })
    } else if status.is_server_error() || passes.contains(&status) {
        Err(SendError::Later { message: said, after: answer.retry_after(jiff::Timestamp::now()) })
    } else {
        Err(SendError::Refused(said))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_means_sent_later_or_refused() {
        let check = |status: u16, retry_after: Option<&'static str>, expected: Result<Sent, SendError>| {
            let mut headers = HeaderMap::new();
            if let Some(text) = retry_after {
                headers.insert(reqwest::header::RETRY_AFTER, HeaderValue::from_static(text));
            }
            let answer = Answer { status: StatusCode::from_u16(status).unwrap(), headers, body: "said\n".into() };
            assert_eq!(meaning(&answer), expected, "{status}");
        };
        let later = |message: &str, seconds: Option<u64>| {
            Err(SendError::Later { message: message.to_owned(), after: seconds.map(Duration::from_secs) })
        };
        check(200, None, Ok(Sent { answer: "200 OK: said".to_owned() }));
        check(204, None, Ok(Sent { answer: "204 No Content: said".to_owned() }));
        check(302, None, Err(SendError::Refused("302 Found: said".to_owned())));
        check(400, None, Err(SendError::Refused("400 Bad Request: said".to_owned())));
        check(404, Some("5"), Err(SendError::Refused("404 Not Found: said".to_owned())));
        check(429, Some("7"), later("429 Too Many Requests: said", Some(7)));
        check(500, None, later("500 Internal Server Error: said", None));
        check(503, Some("3"), later("503 Service Unavailable: said", Some(3)));
    }
}
