//! Which exit code an error of the modules below stands for, and what to do next: found by its type, anywhere in its chain.

use std::error::Error;

use super::{Exit, Failure};
use crate::app::{ClusterError, Misconfigured};
use crate::bitt::TrailError;
use crate::connectors::PublishError;
use crate::connectors::git::{ConnectorError, GitError};
use crate::connectors::schedule::{BackfillError, LookError, ScheduleError};
use crate::dispatch::RoutesError;
use crate::dlq::StateError;
use crate::kafka::DriverError;
use crate::kafka::admin::AdminError;
use crate::kafka::scan::ScanError;
use crate::kafka::topics::TopicError;
use crate::schema::SchemaFileError;
use crate::schema::registry::RegistryError;
use crate::store::StoreError;

const KAFKA: &str = "check kafka.bootstrap_servers and that the cluster is up; `make up` starts one";
pub(super) const REGISTRY: &str = "check schema_registry.url and that the registry is up; `make up` starts one";
const REPOSITORY: &str = "check that --repo, or git.repositories, names git repositories that can be read";
const DATABASE: &str = "check database.url and that the database is up; `make up` starts one";

/// How rustls begins what it says of a server's certificate: the server is up, and the settings name it.
const NOT_BELIEVED: &str = "invalid peer certificate";
const CERTIFICATE: &str =
    "if its CA is your own, name it: SSL_CERT_FILE, or sslrootcert in database.url; see docs/security.md";

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        let error = match error.downcast::<Self>() {
            Ok(failure) => return failure,
            Err(error) => error,
        };
        let meaning = error.chain().find_map(meaning);
        let certificate = error.chain().any(|cause| cause.to_string().contains(NOT_BELIEVED));
        let failure = match meaning {
            Some((Exit::Usage, _)) => Self::usage(error.to_string()),
            Some((Exit::Unavailable, _)) => Self::unavailable(error.to_string()),
            _ => Self::failed(error.to_string()),
        };
        let chain: Box<dyn Error + Send + Sync> = error.into();
        let failure = failure.because(chain);
        match meaning {
            Some((Exit::Unavailable, _)) if certificate => failure.next(CERTIFICATE),
            Some((_, Some(next))) => failure.next(next),
            _ => failure,
        }
    }
}

/// The exit code of one error of the chain and the next step, if this error decides them.
fn meaning(error: &(dyn Error + 'static)) -> Option<(Exit, Option<&'static str>)> {
    if let Some(error) = error.downcast_ref::<StoreError>() {
        return matches!(error, StoreError::Unavailable { .. }).then_some((Exit::Unavailable, Some(DATABASE)));
    }
    if let Some(error) = error.downcast_ref::<RegistryError>() {
        return match error {
            RegistryError::Unavailable { .. } => Some((Exit::Unavailable, Some(REGISTRY))),
            RegistryError::Settings(_) => Some((Exit::Usage, None)),
            RegistryError::Absent { .. } => Some((Exit::No, Some("run `coafi schemas register`"))),
            RegistryError::Refused { .. } => None,
        };
    }
    if let Some(error) = error.downcast_ref::<AdminError>() {
        return match error {
            AdminError::Unavailable { .. } => Some((Exit::Unavailable, Some(KAFKA))),
            AdminError::Properties(_) => Some((Exit::Usage, Some("check kafka.client"))),
            AdminError::Unsettled(_) => Some((Exit::No, Some("run `coafi topics plan` to see how far it is"))),
            AdminError::Topic { .. } | AdminError::Refused(_) => None,
        };
    }
    if let Some(error) = error.downcast_ref::<ClusterError>() {
        return match error {
            ClusterError::Silent { .. } => Some((Exit::Unavailable, Some(KAFKA))),
            ClusterError::Client(_) => Some((Exit::Usage, Some("check kafka.client"))),
            ClusterError::Missing { .. } => Some((Exit::No, Some("run `coafi topics apply`"))),
            ClusterError::Ended(_) => None,
        };
    }
    // Transparent, so that its cause is not in the chain.
    if let Some(error) = error.downcast_ref::<TrailError>() {
        return match error {
            TrailError::Scan(error) => meaning(error),
            TrailError::Undecodable { failure, .. } => class(failure),
        };
    }
    if let Some(error) = error.downcast_ref::<StateError>() {
        return match error {
            StateError::Scan(error) => meaning(error),
            StateError::Undecodable { failure, .. } => class(failure),
        };
    }
    if let Some(error) = error.downcast_ref::<ScanError>() {
        return match error {
            ScanError::Kafka { .. } | ScanError::Stalled { .. } => Some((Exit::Unavailable, Some(KAFKA))),
            ScanError::Client(_) => Some((Exit::Usage, Some("check kafka.client"))),
            ScanError::NoTopic { .. } => Some((Exit::No, Some("run `coafi topics apply`, or name another topic"))),
            ScanError::NoPartition { .. } | ScanError::Backwards { .. } => Some((Exit::Usage, None)),
            ScanError::Expired { .. } | ScanError::Overtaken { .. } => {
                Some((Exit::No, Some("begin later, or with --from beginning")))
            }
            ScanError::Unsettled { .. } | ScanError::Thread(_) | ScanError::Ended => None,
        };
    }
    if let Some(error) = error.downcast_ref::<DriverError>() {
        return matches!(error, DriverError::ReservedProperty { .. } | DriverError::Client(_))
            .then_some((Exit::Usage, Some("check kafka.client")));
    }
    if error.is::<Misconfigured>() {
        return Some((Exit::Usage, Some("see docs/configuration.md")));
    }
    if error.is::<RoutesError>() {
        return Some((Exit::Usage, Some("correct the routes file; `coafi routes lint` checks it")));
    }
    if error.is::<SchemaFileError>() || matches!(error.downcast_ref(), Some(TopicError::Schema(_))) {
        return Some((Exit::Usage, Some("correct the schema, or avro_dir; see docs/schemas.md")));
    }
    if error.is::<TopicError>() {
        return Some((Exit::Usage, Some("correct the topic's declaration; see docs/topics.md")));
    }
    if let Some(error) = error.downcast_ref::<ConnectorError>() {
        return match error {
            ConnectorError::Failed(_) => Some((Exit::No, Some(REPOSITORY))),
            ConnectorError::Sources(_) | ConnectorError::Twice(_) => Some((Exit::Usage, Some("see git.repositories"))),
            ConnectorError::NoTopic(_) => Some((Exit::No, Some("run `coafi topics apply`"))),
            ConnectorError::Kafka(_) => Some((Exit::Unavailable, Some(KAFKA))),
            ConnectorError::Wakes(error) => meaning(error),
        };
    }
    // Transparent, as the next ones.
    if let Some(BackfillError::Look(error)) = error.downcast_ref::<BackfillError>() {
        return meaning(error);
    }
    if let Some(BackfillError::Schedule(error)) = error.downcast_ref::<BackfillError>() {
        return meaning(error);
    }
    if let Some(error) = error.downcast_ref::<LookError>() {
        return match error {
            LookError::Scan(error) => meaning(error),
            LookError::Decode(failure) => class(failure),
            LookError::Schedule(error) => meaning(error),
        };
    }
    if let Some(error) = error.downcast_ref::<ScheduleError>() {
        return match error {
            ScheduleError::Publish(error) => meaning(error),
            ScheduleError::Encode(failure) => class(failure),
            ScheduleError::Kafka(_) => Some((Exit::Unavailable, Some(KAFKA))),
            ScheduleError::NoTopic(_) => Some((Exit::No, Some("run `coafi topics apply`"))),
            ScheduleError::Admission(_) | ScheduleError::Standing { .. } => None,
        };
    }
    if let Some(error) = error.downcast_ref::<PublishError>() {
        return match error {
            PublishError::Kafka { .. } => Some((Exit::Unavailable, Some(KAFKA))),
            PublishError::NoTopic { .. } => Some((Exit::No, Some("run `coafi topics apply`"))),
            PublishError::Fenced { .. } => Some((Exit::No, Some("somebody else did the same just now; run it again"))),
            PublishError::Refused { .. } | PublishError::Unreadable { .. } => None,
        };
    }
    let address = error.downcast_ref::<GitError>()?;
    matches!(address, GitError::Address { .. } | GitError::Scheme { .. }).then_some((Exit::Usage, None))
}

/// What of the schema registry's a command cannot do without.
fn class(failure: &crate::dispatch::Failure) -> Option<(Exit, Option<&'static str>)> {
    is_systemic(failure).then_some((Exit::Unavailable, Some(REGISTRY)))
}

/// Whether it is the schema registry that does not answer, and not a schema or a record that is wrong.
pub(super) const fn is_systemic(failure: &crate::dispatch::Failure) -> bool {
    matches!(failure.class, crate::engine::Class::Systemic(_))
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;
    use crate::dispatch::Failure as Unread;
    use crate::engine::Dependency;

    #[test]
    fn a_registry_that_is_away_is_no_fault_of_what_it_was_asked_for() {
        let of = |failure| Failure::from(anyhow::Error::new(StateError::Undecodable { offset: 7, failure })).exit();
        let away = Unread::systemic(Dependency::SCHEMA_REGISTRY, "registry_unavailable", "refused");
        assert_eq!((of(away), of(Unread::poison("not_avro", "x"))), (Exit::Unavailable, Exit::No));
    }

    #[test]
    fn a_cluster_that_is_away_is_told_from_one_without_topics() {
        let silent = ClusterError::Silent { servers: "h:1".into(), said: None };
        let failure = Failure::from(Err::<(), _>(silent).context("nothing can be done").unwrap_err());
        assert_eq!(failure.exit(), Exit::Unavailable);
        let missing = ClusterError::Missing { topics: vec!["t".into()] };
        assert_eq!(Failure::from(anyhow::Error::new(missing)).exit(), Exit::No);
    }

    #[test]
    fn what_is_down_is_found_under_what_was_attempted() {
        let down = StoreError::Unavailable { url: "postgres://db".into(), message: "refused".into() };
        let failure = Failure::from(Err::<(), _>(down).context("the replica cannot start").unwrap_err());
        assert_eq!((failure.exit(), failure.to_string().as_str()), (Exit::Unavailable, "the replica cannot start"));
        let other = anyhow::anyhow!("something else");
        assert_eq!(Failure::from(other).exit(), Exit::No);
        let ours = anyhow::Error::new(Failure::usage("said already"));
        assert_eq!(Failure::from(ours).exit(), Exit::Usage);
    }
}
