//! Servers that are called by a name that the configuration gives them: where each is, how it is signed to, and what is waited
//! for. Nothing here knows what is sent, or what an answer means.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};

use super::{Answer, CallError, Client, Request, Signer, standard_webhooks};
use crate::config::{HttpEndpoint, Outgoing};

/// What an endpoint is called as a handler and as a dependency, before its name: `http:enrich`.
pub const HTTP_ENDPOINT: &str = "http:";

/// For the answer to a probe: its status is all that counts.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
const PROBE_BYTES_MAX: usize = 64 << 10;

/// An endpoint that cannot be called as it is configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    #[error("endpoint {name:?}: {why}")]
    NotAllowed { name: String, why: String },
    #[error("endpoint {name:?}: {why}")]
    Secret { name: String, why: String },
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

/// All endpoints there are. The default has none.
#[derive(Debug, Default)]
pub struct Endpoints {
    client: Option<Client>,
    by_name: BTreeMap<String, Endpoint>,
    silent: bool,
}

/// One of them.
#[derive(Debug)]
pub struct Endpoint {
    settings: HttpEndpoint,
    signer: Option<Signer>,
}

/// What is posted.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// `webhook-id`: the same whenever the same thing is sent again, so that a receiver knows it.
    pub id: String,
    /// Names in small letters.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

/// An answer, and how long it asks to wait.
#[derive(Clone, Debug, PartialEq)]
pub struct Called {
    pub answer: Answer,
    pub retry_after: Option<Duration>,
}

impl Endpoints {
    /// # Errors
    /// An address that nobody may call, a secret that is none.
    pub fn new(endpoints: &[HttpEndpoint], outgoing: &Outgoing) -> Result<Self, EndpointError> {
        if endpoints.is_empty() {
            return Ok(Self::default());
        }
        let client = Client::new(&outgoing.allow).map_err(|error| EndpointError::Tls(error.to_string()))?;
        let mut by_name = BTreeMap::new();
        for settings in endpoints {
            let name = &settings.name;
            client
                .check(settings.url.expose())
                .map_err(|why| EndpointError::NotAllowed { name: name.clone(), why: why.to_string() })?;
            let secrets = settings.secrets.iter().map(|secret| secret.expose());
            let signer = Signer::new(secrets)
                .map_err(|why| EndpointError::Secret { name: name.clone(), why: why.to_string() })?;
            let signer = (!settings.secrets.is_empty()).then_some(signer);
            by_name.insert(name.clone(), Endpoint { settings: settings.clone(), signer });
        }
        Ok(Self { client: Some(client), by_name, silent: false })
    }

    /// The same, of which none is to be called: what is replayed in isolation has no effect elsewhere.
    #[must_use]
    pub fn silenced(self) -> Self {
        Self { silent: true, ..self }
    }

    #[must_use]
    pub fn are_silent(&self) -> bool {
        self.silent
    }

    #[must_use]
    pub fn of(&self, name: &str) -> Option<&Endpoint> {
        self.by_name.get(name)
    }

    /// In order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// Posts a message, signed if the endpoint has secrets.
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn post(&self, endpoint: &Endpoint, message: Message) -> Result<Called, CallError> {
        if self.silent {
            return Err(CallError::Refused("nobody is called here".to_owned()));
        }
        let mut request = endpoint.request(Method::POST);
        for (name, value) in &message.headers {
            // Whoever makes headers of what others wrote has encoded it; what is none after all is not sent.
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                request.headers.insert(name, value);
            }
        }
        match &endpoint.signer {
            Some(signer) => request.headers.extend(signer.sign(&message.id, &message.body)),
            None => {
                let id = HeaderValue::try_from(&message.id).map_err(|error| CallError::Refused(error.to_string()))?;
                request.headers.insert(HeaderName::from_static(standard_webhooks::ID), id);
            }
        }
        request.body = message.body;
        let answer = self.client()?.call(request).await?;
        let retry_after = answer.retry_after(jiff::Timestamp::now());
        Ok(Called { answer, retry_after })
    }

    /// Whether an endpoint is back. Any answer is one, but that of a proxy whose server is away.
    ///
    /// # Errors
    /// What stands in the way.
    pub async fn answers(&self, name: &str) -> Result<(), String> {
        let Some(endpoint) = self.of(name) else { return Err(format!("endpoint {name:?} is not configured")) };
        let mut request = endpoint.request(Method::HEAD);
        (request.timeout, request.answer_bytes_max) = (PROBE_TIMEOUT, PROBE_BYTES_MAX);
        let call = async { self.client()?.call(request).await };
        match call.await {
            Ok(answer) if is_of_a_proxy(answer.status) => Err(answer.status.to_string()),
            // Whatever it says, it is there.
            Ok(_) | Err(CallError::TooLarge(_)) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn client(&self) -> Result<&Client, CallError> {
        self.client.as_ref().ok_or_else(|| CallError::Refused("there are no endpoints".to_owned()))
    }
}

impl Endpoint {
    #[must_use]
    pub fn settings(&self) -> &HttpEndpoint {
        &self.settings
    }

    fn request(&self, method: Method) -> Request {
        Request {
            method,
            url: self.settings.url.expose().clone(),
            headers: reqwest::header::HeaderMap::new(),
            body: Bytes::new(),
            timeout: self.settings.timeout,
            answer_bytes_max: self.settings.answer_max_bytes,
        }
    }
}

/// What a proxy says of a server that is away. A server may say so of itself, too.
fn is_of_a_proxy(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
}
