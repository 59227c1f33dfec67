//! `api.request`: does what a caller of the HTTP API asked for, and says what came of it.
//!
//! A request that cannot be met as it stands is refused with its reason (`Failure::invalid`), which is the caller's answer.
//! It refuses to know how requests arrive and how answers travel. A registry's entry is written in one SQL transaction with
//! an inbox row that holds the complete result (I4, I9).

mod registry_update;
mod workflow_start;

use std::sync::Arc;

use async_trait::async_trait;
use serde::de::DeserializeOwned;

use crate::dispatch::{Context, Failure, Handler, Registration, Success};
use crate::event::Event;
use crate::schema::payloads::ApiRequest;

const SOURCE: &str = "/coafi/handlers/api_request";
/// What there is, as messages say it.
const SUPPORTED: &str = "POST registry/update, POST workflow/start";
/// Of a name in a body.
const NAME_BYTES_MAX: usize = 256;

inventory::submit! {
    Registration {
        name: "api_request",
        summary: "does what callers of the HTTP API ask for: updates registry entries, starts workflows",
        build: |_| Ok(Arc::new(ApiRequestHandler)),
    }
}

struct ApiRequestHandler;

#[async_trait]
impl Handler for ApiRequestHandler {
    async fn handle(&self, event: &Event, context: &Context<'_>) -> Result<Success, Failure> {
        let request: ApiRequest = context.services.codec.decode(event).await?;
        // Whoever wrote the event: names have no leading slash.
        match (request.endpoint.trim_matches('/'), request.method.to_ascii_uppercase().as_str()) {
            ("registry/update", "POST") => {
                registry_update::handle(event, context, &request.principal, body(&request)?).await
            },
            ("workflow/start", "POST") => workflow_start::handle(event, context, body(&request)?).await,
            (endpoint @ ("registry/update" | "workflow/start"), method) => {
                let message = format!("endpoint {endpoint:?} does not take {method}; supported: {SUPPORTED}");
                Err(Failure::invalid("unsupported_method", message).with_status(405))
            }
            (endpoint, method) => {
                let message = format!("{method} {endpoint:?} is not supported; supported: {SUPPORTED}");
                Err(Failure::invalid("unsupported_endpoint", message).with_status(404))
            }
        }
    }
}

fn body<T: DeserializeOwned>(request: &ApiRequest) -> Result<T, Failure> {
    serde_json::from_str(&request.body).map_err(|error| Failure::invalid("invalid_body", format!("the body: {error}")))
}

/// # Errors
/// Invalid: the name is missing, too long, or nothing that could be printed.
fn check_name(member: &str, name: &str) -> Result<(), Failure> {
    if name.trim().is_empty() {
        return Err(Failure::invalid("invalid_body", format!("{member} is missing")));
    }
    if name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        let allowed = format!("at most {NAME_BYTES_MAX} bytes of printable text");
        return Err(Failure::invalid("invalid_body", format!("{member} is not allowed; allowed: {allowed}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
