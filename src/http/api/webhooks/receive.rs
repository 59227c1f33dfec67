//! `POST /webhooks/{name}`

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::forge::{self, BadPayload, Told};
use super::hook::{Believed, PushedTo};
use super::publish::publish;
use crate::connectors::git::RepositoryId;
use crate::connectors::{SourceId, git, wake};
use crate::http::api::body::{self, BodyLimits};
use crate::http::api::problem::Problem;
use crate::http::api::router::Api;
use crate::runtime::unix_ms;

/// What a sender is told that was believed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Delivered)]
#[serde(tag = "status", rename_all = "lowercase")]
pub(super) enum Answer {
    /// Every in-sync replica has what came of it.
    Accepted {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        repositories: Vec<String>,
    },
    /// Nothing came of it, and nothing is wrong: a sender that is told of an error sends again, and gives up in the end.
    Ignored { reason: String },
}

/// Take a delivery of a webhook
///
/// Of a webhook that is configured under this name, signed as its kind has it. Pushes wake the connector of their repository,
/// other deliveries become events; what nothing comes of is accepted and ignored.
#[utoipa::path(
    post, path = "/webhooks/{name}", operation_id = "receive_webhook", tag = "webhooks",
    params(("name" = String, Path, description = "The webhook's name.", example = "github")),
    responses(
        (status = 200, description = "It is believed, and there was nothing to do", body = Answer),
        (status = 202, description = "Every in-sync replica has what came of it, or nothing came of it", body = Answer),
    ),
)]
pub(in crate::http::api) async fn receive(
    State(api): State<Api>,
    name: Result<Path<String>, PathRejection>,
    method: Method,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Path(name) = name.map_err(Problem::of_path)?;
    let webhook = api.webhooks().named(&name)?;
    if method != Method::POST {
        let detail = format!("webhooks do not take {method}");
        return Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail)
            .with_header(header::ALLOW, "POST"));
    }
    let limits = BodyLimits { max_bytes: webhook.body_max_bytes, ..api.body_limits() };
    let delivery = body::read_in(api.webhooks().room(), &headers, body, limits).await?;
    let bytes = delivery.bytes.clone();
    let believed = webhook.verify(&headers, &bytes, unix_ms()).inspect_err(|refused| {
        tracing::info!(webhook = name, %refused, "a delivery is not believed");
    })?;
    let principal = format!("webhook:{name}");
    api.within_rate(&principal)?;
    let (status, answer) = match believed {
        Believed::Github { event, pushed_to } => told(&api, forge::github(event, &bytes), pushed_to).await?,
        Believed::Gitlab { event, pushed_to } => told(&api, forge::gitlab(event, &bytes), pushed_to).await?,
        Believed::Event { id, target } => {
            let id = publish(&api, &webhook.name, principal, target, id, bytes).await?;
            (StatusCode::ACCEPTED, Answer::Accepted { id: Some(id), repositories: Vec::new() })
        }
    };
    Ok((status, Json(answer)).into_response())
}

/// What becomes of what a forge says.
async fn told(
    api: &Api,
    told: Result<Told, BadPayload>,
    pushed_to: &PushedTo,
) -> Result<(StatusCode, Answer), Problem> {
    let ignored = |reason: String| Ok((StatusCode::ACCEPTED, Answer::Ignored { reason }));
    match told {
        Ok(Told::Push(names)) => {
            let named = pushed_to.as_ref().map_or(names, |repository| vec![repository.clone()]);
            let watched: Vec<&RepositoryId> = named.iter().filter(|name| api.webhooks().may_be_watched(name)).collect();
            if watched.is_empty() {
                return ignored(match named.first() {
                    Some(name) => format!("repository {name} is not among git.repositories"),
                    None => "the push names no repository that could be watched".to_owned(),
                });
            }
            for repository in &watched {
                api.publish(&wake(&SourceId::new(git::CONNECTOR, repository.as_str()))).await?;
            }
            let repositories = watched.iter().map(ToString::to_string).collect();
            Ok((StatusCode::ACCEPTED, Answer::Accepted { id: None, repositories }))
        }
        Ok(Told::Ping) => Ok((StatusCode::OK, Answer::Accepted { id: None, repositories: Vec::new() })),
        Ok(Told::Other(event)) => ignored(format!("{event:?} is no push")),
        Err(bad) => Err(Problem::new(StatusCode::BAD_REQUEST, "invalid-body", bad.to_string())),
    }
}
