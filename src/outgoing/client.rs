//! One call: what is sent, and what came back of it.

use std::error::Error as _;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Method, StatusCode, Url};

use super::Allowed;
use super::guard::{Guard, Refused};

/// To be connected, name and TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections kept for later, of each host.
const IDLE_PER_HOST_MAX: usize = 8;
const USER_AGENT: &str = concat!("coafi/", env!("CARGO_PKG_VERSION"));

/// What is called, and how long and large the answer may be.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// From the first byte sent to the last one received.
    pub timeout: Duration,
    pub answer_bytes_max: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// What kept an answer away. No message shows a URL: it may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// It may not be called; trying again does not help.
    #[error("not allowed: {0}")]
    Refused(String),
    /// Nothing was sent: no address, no connection, no TLS.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// It may have been received.
    #[error("no answer within {}", crate::config::format_duration(*.0))]
    Timeout(Duration),
    /// It may have been received.
    #[error("the answer broke off: {0}")]
    Broken(String),
    /// It was received.
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
}

/// Calls servers of others. Cheap to clone; keeps connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    guard: Guard,
}

impl Client {
    /// `allowed`: what may be called besides public addresses.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(allowed: &[Allowed]) -> Result<Self, reqwest::Error> {
        let guard = Guard::new(allowed);
        let http = reqwest::Client::builder()
            // A proxy would resolve the name, behind the guard's back; a redirect would lead anywhere.
            .no_proxy()
            .redirect(Policy::none())
            .dns_resolver(guard.clone())
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
            .user_agent(USER_AGENT)
            .build()?;
        Ok(Self { http, guard })
    }

    /// Whether the URL may be called, as far as that is known before its name is resolved.
    ///
    /// # Errors
    /// Why it may not.
    pub fn check(&self, url: &Url) -> Result<(), CallError> {
        self.guard.check(url).map_err(|refused| CallError::Refused(refused.to_string()))
    }

    /// Any status is an answer.
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn call(&self, request: Request) -> Result<Answer, CallError> {
        let Request { method, url, headers, body, timeout, answer_bytes_max } = request;
        self.check(&url)?;
        let call = self.http.request(method, url).headers(headers).body(body).timeout(timeout);
        let said = |error: reqwest::Error| told(error, timeout);
        let mut response = call.send().await.map_err(said)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(said)? {
            if body.len() + chunk.len() > answer_bytes_max {
                return Err(CallError::TooLarge(answer_bytes_max));
            }
            body.extend_from_slice(&chunk);
        }
        let headers = std::mem::take(response.headers_mut());
        Ok(Answer { status: response.status(), headers, body: body.into() })
    }
}

impl Answer {
    /// How long `Retry-After` asks to wait (RFC 9110, 10.2.3): seconds, or a date, which is judged by the answer's own `Date`
    /// where it has one, since clocks differ.
    #[must_use]
    pub fn retry_after(&self, now: jiff::Timestamp) -> Option<Duration> {
        let text = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        if let Ok(seconds) = text.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let date = |text: &str| jiff::fmt::rfc2822::parse(text).ok().map(|date| date.timestamp());
        let sent = self.headers.get(reqwest::header::DATE).and_then(|text| date(text.to_str().ok()?));
        Some(date(text)?.duration_since(sent.unwrap_or(now)).try_into().unwrap_or_default())
    }
}

fn told(error: reqwest::Error, timeout: Duration) -> CallError {
    // The innermost error says what happened; those around it say that something did.
    let (mut innermost, mut refused): (String, bool) = (error.to_string(), false);
    let mut source = error.source();
    while let Some(inner) = source {
        innermost = inner.to_string();
        refused |= inner.is::<Refused>();
        source = inner.source();
    }
    if refused {
        CallError::Refused(innermost)
    } else if error.is_connect() {
        CallError::Unreachable(innermost)
    } else if error.is_timeout() {
        CallError::Timeout(timeout)
    } else if error.is_builder() {
        CallError::Refused(innermost)
    } else {
        CallError::Broken(innermost)
    }
}

#[cfg(test)]
mod tests;
