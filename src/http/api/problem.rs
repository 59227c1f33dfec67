//! Errors as RFC 9457 problem documents.

use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::refusals::Refusal;
use crate::store::NewRequest;

pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// Why a request was not accepted. Says nothing that the caller may not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub(super) status: StatusCode,
    /// Constant, kebab-case: the end of the problem's type.
    code: &'static str,
    detail: String,
    /// Single errors of a body.
    errors: Vec<String>,
    headers: Vec<(HeaderName, String)>,
    /// Who is told, for the log.
    principal: Option<String>,
}

/// RFC 9457.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct Document {
    /// `urn:coafi:problem:` and a constant.
    r#type: String,
    title: &'static str,
    status: u16,
    /// For people.
    detail: String,
    /// Single errors of a body, each with its place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<String>,
}

impl Problem {
    /// Of a path that is no text.
    pub(super) fn of_path(rejection: PathRejection) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid-path", rejection.body_text())
    }

    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), errors: Vec::new(), headers: Vec::new(), principal: None }
    }

    /// The first [`ERRORS_MAX`] of them are told.
    pub(super) fn with_errors(mut self, mut errors: Vec<String>) -> Self {
        errors.truncate(ERRORS_MAX);
        self.errors = errors;
        self
    }

    pub(super) fn with_header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Whose request it was.
    pub(super) fn by(self, principal: &str) -> Self {
        Self { principal: Some(principal.to_owned()), ..self }
    }

    pub(super) fn retry_after(self, wait: Duration) -> Self {
        // Whole seconds, and never too early.
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.with_header(header::RETRY_AFTER, seconds.max(1).to_string())
    }

    pub(super) fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
            .with_header(header::WWW_AUTHENTICATE, "Bearer realm=\"coafi\"")
    }

    /// Others were made under these ids.
    pub(super) fn id_conflict<'a>(requests: impl IntoIterator<Item = &'a NewRequest>) -> Self {
        let name = |request: &NewRequest| format!("id {:?} of source {:?}", request.id, request.source);
        let errors = requests.into_iter().map(name).collect();
        let detail = "something else was sent under this id, or by somebody else; nothing was published";
        Self::new(StatusCode::CONFLICT, "id-conflict", detail).with_errors(errors)
    }

    /// A bug of ours.
    pub(super) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "this is a bug; the log has more")
    }

    /// Something that the API needs does not answer. Whatever it is, it is in the log.
    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail).retry_after(UNAVAILABLE_FOR)
    }
}

/// Single errors that a document names.
const ERRORS_MAX: usize = 20;
/// When to ask again what did not answer.
const UNAVAILABLE_FOR: Duration = Duration::from_secs(1);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let refusal = Refusal {
            code: self.code,
            detail: self.detail.clone(),
            errors: self.errors.len(),
            principal: self.principal,
        };
        let document = Document {
            r#type: format!("urn:coafi:problem:{}", self.code),
            title: self.status.canonical_reason().unwrap_or_default(),
            status: self.status.as_u16(),
            detail: self.detail,
            errors: self.errors,
        };
        let body = serde_json::to_vec(&document).expect("texts and numbers are JSON");
        let mut response = (self.status, [(header::CONTENT_TYPE, PROBLEM_JSON)], body).into_response();
        for (name, value) in self.headers {
            let value = HeaderValue::from_str(&value).expect("our own header values are printable ASCII");
            response.headers_mut().insert(name, value);
        }
        response.extensions_mut().insert(refusal);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_problem_is_a_document_with_its_headers() {
        let problem = Problem::new(StatusCode::BAD_REQUEST, "invalid-body", "2 errors")
            .with_errors(vec!["/a: x".into()])
            .retry_after(Duration::from_millis(1_200));
        let response = problem.into_response();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert_eq!(response.headers()["retry-after"], "2");
        assert_eq!(response.headers()["content-type"], PROBLEM_JSON);
        let body = axum::body::to_bytes(response.into_body(), 4_096).await.unwrap();
        let expected = serde_json::json!({
            "type": "urn:coafi:problem:invalid-body", "title": "Bad Request", "status": 400, "detail": "2 errors",
            "errors": ["/a: x"],
        });
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&body).unwrap(), expected);
    }
}
