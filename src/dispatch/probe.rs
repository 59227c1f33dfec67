//! Asks a dependency whether it is back.

use std::time::Duration;

use object_store::{ObjectStoreExt as _, path::Path};

use super::Services;
use crate::connectors::git::GIT_HOST;
use crate::engine::Dependency;
use crate::notify::NOTIFY;
use crate::outgoing::HTTP_ENDPOINT;

/// An answer that takes longer is none. What is back while it is waited for is noticed this much later.
pub(super) const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// As much for a server that may be on another continent: name, connection, TLS and answer.
const HOST_PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// Written where artifacts go: a full disk answers reads.
const PROBE_OBJECT: &str = ".coafi-probe";
const PROBE_BYTES: usize = 4_096;

/// The dependencies that there are: what a route may declare. A new one is named here and probed below.
pub const DEPENDENCIES: [&str; 3] = [Dependency::DATABASE, Dependency::SCHEMA_REGISTRY, Dependency::ARTIFACTS];

/// A dependency that a handler names and nobody here knows is tried with the next event instead: `true`.
pub(super) async fn answers(services: &Services, dependency: &Dependency) -> bool {
    match ask(services, dependency).await {
        Ok(()) => true,
        Err(error) => {
            // That it is down has been said.
            tracing::debug!(%dependency, error, "a dependency that is down does not answer yet");
            false
        }
    }
}

/// Asks a dependency for one small thing.
///
/// # Errors
/// Why it does not answer, in its own words.
pub async fn ask(services: &Services, dependency: &Dependency) -> Result<(), String> {
    let host = dependency.0.strip_prefix(GIT_HOST);
    let endpoint = dependency.0.strip_prefix(HTTP_ENDPOINT);
    let channel = dependency.0.strip_prefix(NOTIFY);
    let asked = async {
        match &*dependency.0 {
            Dependency::DATABASE => services.store.ping().await.map_err(|error| error.to_string()),
            Dependency::SCHEMA_REGISTRY => services.codec.registry().ping().await.map_err(|error| error.to_string()),
            Dependency::ARTIFACTS => {
                let put = services.artifacts.put(&Path::from(PROBE_OBJECT), vec![0; PROBE_BYTES].into()).await;
                put.map(drop).map_err(|error| error.to_string())
            }
            _ => match (host, endpoint, channel, dependency.schema_subject()) {
                (Some(origin), ..) => services.repositories.host_answers(origin).await,
                (_, Some(name), ..) => services.endpoints.answers(name).await,
                (_, _, Some(name), _) => services.notifier.answers(name).await,
                (.., Some(subject)) => services.codec.is_registered(subject).await.map_err(|error| error.to_string()),
                (None, None, None, None) => Ok(()),
            },
        }
    };
    let is_elsewhere = host.or(endpoint).or(channel).is_some();
    let timeout = if is_elsewhere { HOST_PROBE_TIMEOUT } else { PROBE_TIMEOUT };
    let answer = tokio::time::timeout(timeout, asked).await;
    answer.unwrap_or_else(|_| Err(format!("no answer within {timeout:?}")))
}
