//! A client of a schema registry: Confluent's REST API, as Confluent, Apicurio (`/apis/ccompat/v7`) and [`BuiltinRegistry`]
//! serve it.
//!
//! `schema_registry_converter` has such a client too, but reports every answer that is not 200 in the same way; here the
//! difference between "there is no such schema" and "this is no answer" decides whether a record is poison. `tests/contract`
//! asks it for a second opinion on the wire format and the subjects' names.
//!
//! [`BuiltinRegistry`]: super::BuiltinRegistry

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::SchemaId;

/// Where the registry is and how it is asked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Base URLs of one registry, e.g. `http://registry:8081`; the next one is asked when one does not answer.
    pub urls: Vec<String>,
    pub auth: Auth,
    /// For one request, connecting included.
    pub timeout: Duration,
}

impl Settings {
    /// One URL, no authentication, 5 s.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self { urls: vec![url.to_owned()], auth: Auth::None, timeout: Duration::from_secs(5) }
    }
}

#[derive(Clone, Default, PartialEq, Eq)]
pub enum Auth {
    #[default]
    None,
    Basic {
        user: String,
        password: String,
    },
}

/// Without the secrets.
impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Basic { .. } => "Basic(…)",
        })
    }
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum RegistryError {
    /// The registry says so itself: 404 with one of its own error codes.
    #[error("schema registry {url} does not have {what} ({message})")]
    Absent { url: String, what: String, message: String },
    /// The registry understood and refuses: 409 incompatible, 422 not a schema.
    #[error("schema registry {url} refuses {what}: {message} (error code {code})")]
    Refused { url: String, what: String, code: u32, message: String },
    /// No answer, or none that a working registry gives.
    #[error("schema registry {url} does not serve {what}: {message}")]
    Unavailable { url: String, what: String, message: String },
    #[error("schema registry settings: {0}")]
    Settings(String),
}

impl RegistryError {
    #[must_use]
    pub const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent { .. })
    }
}

/// One registered version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    pub id: SchemaId,
    pub version: u32,
    pub schema: String,
}

/// A registry's own verdict on a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub compatible: bool,
    pub messages: Vec<String>,
}

/// How new versions of a subject are checked against old ones.
pub const BACKWARD_TRANSITIVE: &str = "BACKWARD_TRANSITIVE";

/// An answer above this is refused: a schema is a few kilobytes.
pub const MAX_ANSWER_BYTES: usize = 4 << 20;

const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    settings: std::sync::Arc<Settings>,
}

impl Client {
    /// Does not connect.
    ///
    /// # Errors
    /// [`RegistryError::Settings`]: no URL, or one that is not HTTP.
    pub fn new(mut settings: Settings) -> Result<Self, RegistryError> {
        if settings.urls.is_empty() {
            return Err(RegistryError::Settings("at least one url is needed".into()));
        }
        for url in &mut settings.urls {
            let parsed: reqwest::Url = url.parse().map_err(|e| RegistryError::Settings(format!("url {url:?}: {e}")))?;
            if !matches!(parsed.scheme(), "http" | "https") {
                return Err(RegistryError::Settings(format!("url {url:?}: allowed are http and https")));
            }
            *url = url.trim_end_matches('/').to_owned();
        }
        let http = reqwest::Client::builder()
            .timeout(settings.timeout)
            .build()
            .map_err(|e| RegistryError::Settings(e.to_string()))?;
        Ok(Self { http, settings: settings.into() })
    }

    /// The first URL, for messages.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.settings.urls[0]
    }

    /// Whether the registry answers; for `/ready` and probes.
    ///
    /// # Errors
    /// [`RegistryError::Unavailable`].
    pub async fn ping(&self) -> Result<(), RegistryError> {
        self.call::<Value>(Method::GET, "/schemas/types", None, "schema types").await.map(drop)
    }

    /// # Errors
    /// [`RegistryError::Absent`] only where the registry says that the id does not exist.
    pub async fn schema(&self, id: SchemaId) -> Result<String, RegistryError> {
        #[derive(Deserialize)]
        struct Answer {
            schema: String,
            #[serde(rename = "schemaType")]
            kind: Option<String>,
        }
        let what = format!("schema id {id}");
        let answer: Answer = self.call(Method::GET, &format!("/schemas/ids/{id}"), None, &what).await?;
        match answer.kind.as_deref() {
            None | Some("AVRO") => Ok(answer.schema),
            Some(kind) => Err(RegistryError::Refused {
                url: self.url().to_owned(),
                what,
                code: 0,
                message: format!("it is a {kind} schema; expected AVRO"),
            }),
        }
    }

    /// Version numbers of a subject, rising.
    ///
    /// # Errors
    /// [`RegistryError::Absent`] where there is no such subject.
    pub async fn versions(&self, subject: &str) -> Result<Vec<u32>, RegistryError> {
        let what = format!("subject {subject:?}");
        self.call(Method::GET, &format!("/subjects/{}/versions", segment(subject)), None, &what).await
    }

    /// # Errors
    /// As [`Client::versions`].
    pub async fn version(&self, subject: &str, version: u32) -> Result<Registered, RegistryError> {
        #[derive(Deserialize)]
        struct Answer {
            id: u32,
            version: u32,
            schema: String,
        }
        let what = format!("version {version} of subject {subject:?}");
        let path = format!("/subjects/{}/versions/{version}", segment(subject));
        let Answer { id, version, schema } = self.call(Method::GET, &path, None, &what).await?;
        Ok(Registered { id: SchemaId(id), version, schema })
    }

    /// The id under which exactly this schema is registered in the subject.
    ///
    /// # Errors
    /// [`RegistryError::Absent`] where it is not.
    pub async fn lookup(&self, subject: &str, schema: &str) -> Result<SchemaId, RegistryError> {
        let what = format!("this schema under subject {subject:?}");
        self.id(&format!("/subjects/{}", segment(subject)), schema, &what).await
    }

    /// Registers a schema, or finds it where it is there already.
    ///
    /// # Errors
    /// [`RegistryError::Refused`] where the subject's compatibility level forbids it.
    pub async fn register(&self, subject: &str, schema: &str) -> Result<SchemaId, RegistryError> {
        let what = format!("a new version of subject {subject:?}");
        self.id(&format!("/subjects/{}/versions", segment(subject)), schema, &what).await
    }

    async fn id(&self, path: &str, schema: &str, what: &str) -> Result<SchemaId, RegistryError> {
        #[derive(Deserialize)]
        struct Answer {
            id: u32,
        }
        let Answer { id } = self.call(Method::POST, path, Some(json!({"schema": schema})), what).await?;
        Ok(SchemaId(id))
    }

    /// The registry's opinion of a schema against all versions of the subject, by the subject's level.
    ///
    /// # Errors
    /// [`RegistryError::Absent`] where there is no such subject.
    pub async fn compatible(&self, subject: &str, schema: &str) -> Result<Verdict, RegistryError> {
        #[derive(Deserialize)]
        struct Answer {
            is_compatible: bool,
            #[serde(default)]
            messages: Option<Vec<String>>,
        }
        let what = format!("a compatibility check of subject {subject:?}");
        let path = format!("/compatibility/subjects/{}/versions?verbose=true", segment(subject));
        let answer: Answer = self.call(Method::POST, &path, Some(json!({"schema": schema})), &what).await?;
        Ok(Verdict { compatible: answer.is_compatible, messages: answer.messages.unwrap_or_default() })
    }

    /// # Errors
    /// [`RegistryError::Absent`] where the registry wants the subject to exist first.
    pub async fn set_level(&self, subject: &str, level: &str) -> Result<(), RegistryError> {
        let what = format!("the compatibility level of subject {subject:?}");
        let path = format!("/config/{}", segment(subject));
        self.call::<Value>(Method::PUT, &path, Some(json!({"compatibility": level})), &what).await.map(drop)
    }

    /// Asks the URLs in order until one gives a registry's answer.
    async fn call<T: serde::de::DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        what: &str,
    ) -> Result<T, RegistryError> {
        let mut last = None;
        for url in &self.settings.urls {
            match self.ask(url, method.clone(), path, body.as_ref(), what).await {
                Err(error @ RegistryError::Unavailable { .. }) => last = Some(error),
                answer => return answer,
            }
        }
        Err(last.expect("there is at least one url"))
    }

    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        url: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
        what: &str,
    ) -> Result<T, RegistryError> {
        let unavailable =
            |message: String| RegistryError::Unavailable { url: url.to_owned(), what: what.to_owned(), message };
        let mut request = self.http.request(method, format!("{url}{path}")).header("accept", MEDIA_TYPE);
        request = match &self.settings.auth {
            Auth::None => request,
            Auth::Basic { user, password } => request.basic_auth(user, Some(password)),
        };
        if let Some(body) = body {
            request = request.header("content-type", MEDIA_TYPE).body(body.to_string());
        }
        let response = request.send().await.map_err(|e| unavailable(chain(&e)))?;
        let status = response.status();
        let answer = read(response).await.map_err(unavailable)?;
        if status.is_success() {
            return serde_json::from_slice(&answer).map_err(|e| unavailable(format!("status {status}, but {e}")));
        }
        Err(refusal(url, what, status, &answer))
    }
}

/// What an answer other than 2xx means. A 404 counts as absence only with the registry's own error code: one from a proxy
/// or a wrong base URL says nothing about a schema.
fn refusal(url: &str, what: &str, status: StatusCode, answer: &[u8]) -> RegistryError {
    #[derive(Deserialize)]
    struct Answer {
        error_code: u32,
        #[serde(default)]
        message: String,
    }
    let (url, what) = (url.to_owned(), what.to_owned());
    match (status.as_u16(), serde_json::from_slice::<Answer>(answer)) {
        (404, Ok(Answer { error_code: 40_401..=40_403, message })) => RegistryError::Absent { url, what, message },
        (409 | 422, Ok(Answer { error_code: code, message })) => RegistryError::Refused { url, what, code, message },
        (_, Ok(Answer { error_code, message })) => {
            RegistryError::Unavailable { url, what, message: format!("status {status}, error {error_code}: {message}") }
        }
        (_, Err(_)) => RegistryError::Unavailable { url, what, message: format!("status {status}") },
    }
}

async fn read(mut response: reqwest::Response) -> Result<Vec<u8>, String> {
    let mut all = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| chain(&e))? {
        if all.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(format!("the answer exceeds {MAX_ANSWER_BYTES} bytes"));
        }
        all.extend_from_slice(&chunk);
    }
    Ok(all)
}

/// An error with its causes: reqwest's own message ends before "connection refused".
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

fn segment(text: &str) -> impl std::fmt::Display {
    utf8_percent_encode(text, SEGMENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_registrys_own_404_confirms_absence() {
        let check = |status: u16, body: &str, expected: &str| {
            let error = refusal("http://r", "schema id 7", StatusCode::from_u16(status).unwrap(), body.as_bytes());
            let kind = match error {
                RegistryError::Absent { .. } => "absent",
                RegistryError::Refused { .. } => "refused",
                RegistryError::Unavailable { .. } => "unavailable",
                RegistryError::Settings(_) => "settings",
            };
            assert_eq!(kind, expected, "{status} {body}");
        };
        check(404, r#"{"error_code":40403,"message":"Schema not found"}"#, "absent");
        check(404, r#"{"error_code":40401}"#, "absent");
        check(404, "<html>not found</html>", "unavailable");
        check(404, r#"{"error_code":404,"message":"HTTP 404 Not Found"}"#, "unavailable");
        check(401, r#"{"error_code":401,"message":"Unauthorized"}"#, "unavailable");
        check(500, r#"{"error_code":50001,"message":"store"}"#, "unavailable");
        check(503, "", "unavailable");
        check(409, r#"{"error_code":409,"message":"incompatible"}"#, "refused");
        check(422, r#"{"error_code":42201,"message":"invalid"}"#, "refused");
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        let with = |urls: &[&str]| {
            let urls = urls.iter().map(|url| (*url).to_owned()).collect();
            Client::new(Settings { urls, ..Settings::new("") }).map(|client| client.url().to_owned())
        };
        assert!(matches!(with(&[]), Err(RegistryError::Settings(_))));
        assert!(matches!(with(&["registry:8081"]), Err(RegistryError::Settings(_))));
        assert!(matches!(with(&["not a url"]), Err(RegistryError::Settings(_))));
        assert_eq!(with(&["http://r:1/apis/"]).unwrap(), "http://r:1/apis");
    }

    #[test]
    fn secrets_do_not_reach_logs() {
        let settings =
            Settings { auth: Auth::Basic { user: "u".into(), password: "hush".into() }, ..Settings::new("http://r") };
        assert!(!format!("{settings:?}").contains("hush"));
    }
}
