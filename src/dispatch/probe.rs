//! Asks a dependency whether it is back.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use object_store::{ObjectStoreExt as _, path::Path};

use super::{Failure, Services, artifact};
use crate::connectors::git::GIT_HOST;
use crate::engine::Dependency;
use crate::notify::NOTIFY;
use crate::outgoing::HTTP_ENDPOINT;

/// An answer that takes longer is none. What is back while it is waited for is noticed this much later.
pub(super) const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// As much for a server that may be on another continent: name, connection, TLS and answer.
const HOST_PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// One that has not answered meanwhile is asked again beside the first time: what was asked of a server that hung, or through a
/// network that was cut, may never be answered, although it is back.
const HOST_ASKED_EVERY: Duration = Duration::from_millis(750);

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
    let is_elsewhere = [GIT_HOST, HTTP_ENDPOINT, NOTIFY].iter().any(|prefix| dependency.0.starts_with(prefix));
    match is_elsewhere {
        true => within(HOST_PROBE_TIMEOUT, again_and_again(|| ask_once(services, dependency))).await,
        false => within(PROBE_TIMEOUT, ask_once(services, dependency)).await,
    }
}

/// Which of these keeps a handler: one that takes requests and answers none is as much away as one that refuses them, and that is no
/// fault of the event.
pub(super) async fn hanging(
    services: &Services,
    dependencies: impl Iterator<Item = &Dependency>,
    waited: Duration,
) -> Option<Failure> {
    let ask =
        async |dependency: &Dependency| ask(services, dependency).await.err().map(|error| (dependency.clone(), error));
    let silent = join_all(dependencies.map(ask)).await;
    let (dependency, error) = silent.into_iter().flatten().next()?;
    let message = format!("no answer within {waited:?}, and {dependency} does not answer: {error}");
    Some(Failure::systemic(&dependency.0, "dependency_hangs", message))
}

async fn ask_once(services: &Services, dependency: &Dependency) -> Result<(), String> {
    let host = dependency.0.strip_prefix(GIT_HOST);
    let endpoint = dependency.0.strip_prefix(HTTP_ENDPOINT);
    let channel = dependency.0.strip_prefix(NOTIFY);
    match &*dependency.0 {
        Dependency::DATABASE => services.store.ping().await.map_err(|error| error.to_string()),
        Dependency::SCHEMA_REGISTRY => services.codec.registry().ping().await.map_err(|error| error.to_string()),
        Dependency::ARTIFACTS => {
            let put = services.artifacts.put(&Path::from(PROBE_OBJECT), vec![0; PROBE_BYTES].into()).await;
            put.map(drop).map_err(|error| artifact::told(&error))
        }
        _ => match (host, endpoint, channel, dependency.schema_subject()) {
            (Some(origin), ..) => services.repositories.host_answers(origin).await,
            (_, Some(name), ..) => services.endpoints.answers(name).await,
            (_, _, Some(name), _) => services.notifier.answers(name).await,
            (.., Some(subject)) => services.codec.is_registered(subject).await.map_err(|error| error.to_string()),
            (None, None, None, None) => Ok(()),
        },
    }
}

async fn within(timeout: Duration, asked: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let answer = tokio::time::timeout(timeout, asked).await;
    answer.unwrap_or_else(|_| Err(format!("no answer within {timeout:?}")))
}

/// The first answer of all that were asked for, whatever it is.
async fn again_and_again<F: Future<Output = Result<(), String>>>(ask: impl Fn() -> F) -> Result<(), String> {
    let (mut asked, mut turns) = (FuturesUnordered::new(), tokio::time::interval(HOST_ASKED_EVERY));
    loop {
        tokio::select! {
            Some(answer) = asked.next() => return answer,
            _ = turns.tick() => asked.push(ask()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_host_that_hung_is_asked_again_before_the_first_question_is_given_up() {
        let (asked, began) = (Cell::new(0), Instant::now());
        let ask = || {
            asked.set(asked.get() + 1);
            let hangs = asked.get() < 3;
            async move { if hangs { std::future::pending().await } else { Ok(()) } }
        };
        assert_eq!(within(HOST_PROBE_TIMEOUT, again_and_again(ask)).await, Ok(()));
        assert_eq!((asked.get(), began.elapsed()), (3, 2 * HOST_ASKED_EVERY));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_refuses_has_answered_and_one_that_hangs_is_given_up() {
        let refused = again_and_again(|| async { Err("refused".to_owned()) });
        assert_eq!(within(HOST_PROBE_TIMEOUT, refused).await, Err("refused".to_owned()));
        let hangs = again_and_again(std::future::pending);
        assert_eq!(within(HOST_PROBE_TIMEOUT, hangs).await, Err("no answer within 3s".to_owned()));
    }
}
