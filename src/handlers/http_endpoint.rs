//! Handlers in other languages: an HTTP endpoint of the configuration, which a route names as `http:NAME`.
//!
//! The event goes out as a CloudEvent in HTTP's binary mode, signed; events in the answer are derived events. What was answered
//! is stored in the inbox row before it counts, so that a re-run asks nobody again (I9); until it is stored, the endpoint may be
//! asked several times, with the same `webhook-id`.

mod answer;
mod failing;
mod message;
use std::sync::Arc;

use async_trait::async_trait;

use crate::dispatch::replies::wants_reply;
use crate::dispatch::{Context, Failure, Family, Handler, Services, Success, once};
use crate::event::Event;
use crate::outgoing::{Endpoint, HTTP_ENDPOINT};

pub(crate) use failing::{unanswered, verdict};

/// Asks one endpoint.
struct HttpEndpoint {
    name: String,
}

#[async_trait]
impl Handler for HttpEndpoint {
    async fn handle(&self, event: &Event, context: &Context<'_>) -> Result<Success, Failure> {
        if let Some(earlier) = once::earlier(event, context).await? {
            return Ok(earlier);
        }
        let endpoints = &context.services.endpoints;
        let endpoint = endpoint(context.services, &self.name)?;
        if endpoints.are_silent() {
            return Ok(Success {
                message: format!("{} is not called in an isolated replay", self.name),
                not_called: true,
                ..Success::default()
            });
        }
        let message = message::of(event, context).await?;
        let success = match endpoints.post(endpoint, message).await {
            Err(error) => return Err(unanswered(context.services, &self.name, &error).await),
            Ok(called) => {
                let judged = verdict(context.services, &self.name, &called).await;
                judged.map_err(|failure| failing::told(failure, &called.answer, wants_reply(event)))?;
                answer::read(event, context, endpoint, called.answer).await?
            }
        };
        once::commit(event, context, Vec::new(), success).await
    }
}

fn endpoint<'a>(services: &'a Services, name: &str) -> Result<&'a Endpoint, Failure> {
    let missing = || Failure::permanent("no_endpoint", format!("there is no endpoint {name:?}"));
    services.endpoints.of(name).ok_or_else(missing)
}

fn build(name: &str, services: &Services) -> anyhow::Result<Arc<dyn Handler>> {
    let known: Vec<&str> = services.endpoints.names().collect();
    anyhow::ensure!(known.contains(&name), "no endpoint is called {name:?}; there are: {}", known.join(", "));
    Ok(Arc::new(HttpEndpoint { name: name.to_owned() }))
}

inventory::submit! {
    Family { prefix: HTTP_ENDPOINT, summary: "posts the event to an endpoint of the configuration", build }
}
