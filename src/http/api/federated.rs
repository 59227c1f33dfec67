//! `POST /federated/{domain}`: an envelope that another domain signed becomes an event of `coafi.federated`.
//!
//! ```text
//! domain known → an envelope → body read → signed by the domain, for us, now → within the rate → id reserved → published → 202
//!     404            415       408, 413, 503          400, 401                     429          409
//! ```
//!
//! The envelope is the credential. One that is sent again is answered as the first time, and published once; what was
//! refused is counted, and becomes no event: strangers could fill a topic.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::OnceCell;
use utoipa::ToSchema;

use super::body::{self, BodyLimits};
use super::idempotency::digest;
use super::problem::Problem;
use super::room::Room;
use super::router::Api;
use crate::connectors::federated::{Records, Refusal, Refused, Verified, Verifier, source_of};
use crate::dispatch::Failure;
use crate::schema::Codec;
use crate::store::NewRequest;

pub(super) const PATH: &str = "/federated/{domain}";
/// What an envelope is sent as (RFC 7519, section 10.3; RFC 7515, section 9.2).
pub(super) const MEDIA: [&str; 2] = ["application/jwt", "application/jose"];

/// Who may push, and how that is known.
#[derive(Debug)]
pub struct Domains {
    verifier: Arc<Verifier>,
    body_max_bytes: usize,
    records: OnceCell<Records>,
    room: Room,
}

impl Domains {
    #[must_use]
    pub fn new(verifier: Arc<Verifier>, body_max_bytes: usize) -> Self {
        Self { verifier, body_max_bytes, records: OnceCell::new(), room: Room::new("envelopes") }
    }

    async fn records(&self, codec: &Codec) -> Result<&Records, Failure> {
        self.records.get_or_try_init(|| Records::new(codec)).await
    }
}

/// The answer to an envelope whose message is in Kafka.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Pushed {
    /// The message's.
    id: String,
    /// Whether it had been published before.
    duplicate: bool,
}

/// Take a signed message of another domain
///
/// A JWT that the domain signed with Ed25519: `iss` is the domain, `aud` this deployment, `jti` the event's id, and the claim
/// `event` a CloudEvent in JSON format. It is the credential: nothing else is asked for. Messages about one `subject` are
/// handled in order. The same message again is accepted, and not published again.
#[utoipa::path(
    post, path = PATH, operation_id = "push_federated", tag = "events", security(()),
    params(("domain" = String, Path, description = "The domain that signed", example = "aero")),
    responses((status = 202, description = "The message is published, and not handled yet", body = Pushed)),
)]
pub(super) async fn push(
    State(api): State<Api>,
    domain: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Path(domain) = domain.map_err(Problem::of_path)?;
    let domains = api.domains();
    if !domains.verifier.knows(&domain) {
        let detail = format!("no domain {domain:?} may push here");
        return Err(Problem::new(StatusCode::NOT_FOUND, "no-such-domain", detail));
    }
    let media = body::media_type(&headers);
    if !MEDIA.contains(&media.as_str()) {
        let detail = format!("content type {media:?} is not taken; allowed: {}", MEDIA.join(", "));
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", detail));
    }
    let limits = BodyLimits { max_bytes: domains.body_max_bytes, ..api.body_limits() };
    let envelope = body::read_in(&domains.room, &headers, body, limits).await?;
    let verified = domains.verifier.verify(&domain, &envelope.bytes, Timestamp::now()).inspect_err(|refused| {
        tracing::info!(domain, %refused, "an envelope is refused");
    })?;
    let principal = format!("domain:{domain}");
    api.within_rate(&principal)?;
    publish(&api, &domain, principal, verified).await
}

async fn publish(api: &Api, domain: &str, principal: String, verified: Verified) -> Result<Response, Problem> {
    let Verified { message, event } = verified;
    // Of the event as it was signed: a sender that was not answered signs it again, with other times.
    let digest = digest(&[event.as_bytes()]);
    let new = [NewRequest { id: message.message_id.clone(), source: source_of(domain), principal, digest }];
    let duplicate = api.reserve(&new).await? == [false];
    if !duplicate {
        let unavailable = |failure: Failure| {
            tracing::error!(%failure, "a message cannot be encoded");
            Problem::unavailable("the message cannot be published at the moment")
        };
        let records = api.domains().records(api.codec()).await.map_err(unavailable)?;
        api.publish(&records.message(&message).map_err(unavailable)?).await?;
        api.note_published(&new).await;
    }
    Ok((StatusCode::ACCEPTED, Json(Pushed { id: message.message_id, duplicate })).into_response())
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let detail = refused.to_string();
        match refused.refusal {
            Refusal::TooLarge => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", detail),
            refusal if refusal.is_of_authenticity() => {
                // RFC 9110 wants a challenge; there is no registered scheme for signed bodies.
                Self::new(StatusCode::UNAUTHORIZED, "envelope-refused", detail)
                    .with_header(header::WWW_AUTHENTICATE, "Envelope realm=\"coafi\"")
            }
            _ => Self::new(StatusCode::BAD_REQUEST, "invalid-envelope", detail),
        }
    }
}
