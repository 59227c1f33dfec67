//! How long requests take, by endpoint, method and status, and which are refused. A caller that goes away before it is answered
//! is not counted.

use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;

use super::endpoint::{Catalogue, Endpoint};
use super::router::Api;
use super::{federated, ingest};

/// Of whatever is none of the API's: callers make paths up, and a label must have few values.
const OTHER: &str = "other";

pub(super) async fn measured(State(api): State<Api>, request: Request, next: Next) -> Response {
    let (endpoint, method) = (endpoint(api.catalogue(), request.uri().path()), method(request.method()));
    let started = Instant::now();
    let response = next.run(request).await;
    api.refusals().tell(&endpoint, method, &response);
    if let Some(metrics) = api.metrics() {
        metrics.request_took(&endpoint, method, response.status().as_u16(), started.elapsed());
    }
    response
}

fn endpoint(catalogue: &Catalogue, path: &str) -> String {
    let name = Endpoint::new(path, "").name;
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let page = match parts[..] {
        [""] => "/",
        ["openapi.json"] => "/openapi.json",
        ["api", "ingest", "event"] => ingest::PATH,
        ["federated", _] => federated::PATH,
        ["requests", _] => "/requests/{id}",
        ["webhooks", _] => "/webhooks/{name}",
        ["registries"] => "/registries",
        ["registries", _, "entries"] => "/registries/{registry}/entries",
        ["registries", _, "entries", _] => "/registries/{registry}/entries/{entry}",
        ["registries", _, "entries", _, "history"] => "/registries/{registry}/entries/{entry}/history",
        ["events"] => "/events",
        ["events", _] => "/events/{id}",
        _ if catalogue.methods(&name).is_empty() => OTHER,
        _ => return format!("/{name}"),
    };
    page.to_owned()
}

fn method(method: &Method) -> &'static str {
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
        .into_iter()
        .find(|known| method == known)
        .unwrap_or(OTHER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_have_few_values_whatever_is_asked_for() {
        let catalogue = Catalogue::build(&[]).unwrap();
        let check = |path: &str, expected: &str| assert_eq!(endpoint(&catalogue, path), expected, "{path}");
        check("/registry/update", "/registry/update");
        check("//registry/update/", "/registry/update");
        check("/requests/1", "/requests/{id}");
        check("/api/ingest/event", "/api/ingest/event");
        check("/federated/aero", "/federated/{domain}");
        check("/", "/");
        check("/webhooks/github", "/webhooks/{name}");
        check("/registries/parts/entries/a%2Fb", "/registries/{registry}/entries/{entry}");
        check("/registries/parts/entries/a/b/c", OTHER);
        check("/events/7", "/events/{id}");
        check("/wp-login.php", OTHER);
        assert_eq!(method(&Method::POST), "POST");
        assert_eq!(method(&Method::from_bytes(b"BREW").unwrap()), OTHER);
    }
}
