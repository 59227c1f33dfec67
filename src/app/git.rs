//! From the configuration's repositories to the connector's.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use super::{Backing, Places};
use crate::config::{Git, Repository, Start};
use crate::connectors::PublisherSettings;
use crate::connectors::git::{Address, GitConnector, Patterns, RepositorySettings, Start as ConnectorStart};

/// Every repository's address, relative paths taken from the working directory.
///
/// # Errors
/// What is neither a path nor a URL that can be read.
pub(super) fn addresses(repositories: &[Repository]) -> anyhow::Result<Vec<Address>> {
    let base = std::env::current_dir().context("the working directory cannot be found")?;
    repositories.iter().map(|repository| Ok(Address::parse(&repository.url, &base)?)).collect()
}

/// One repository as the connector takes it. `poll` is the time between two looks; the connector's own for that kind of
/// repository if it is `None`.
///
/// # Errors
/// An address, a pattern or a start that is none.
pub fn repository_settings(
    repository: &Repository,
    base: &Path,
    poll: Option<Duration>,
) -> anyhow::Result<RepositorySettings> {
    let mut settings = RepositorySettings::new(Address::parse(&repository.url, base)?);
    settings.branches = Patterns::new(&repository.branches)?;
    if !repository.paths.is_empty() {
        settings.paths = Patterns::new(&repository.paths)?;
    }
    settings.start = match &repository.start {
        Start::History => ConnectorStart::History,
        Start::Now => ConnectorStart::Now,
        Start::Commit(sha) => format!("commit:{sha}").parse()?,
    };
    if let Some(poll) = poll {
        settings.poll.interval = poll;
    }
    Ok(settings)
}

/// The connector over `git`'s repositories.
///
/// # Errors
/// See [`repository_settings`].
pub fn connector(git: &Git, places: &Places, backing: &Backing) -> anyhow::Result<GitConnector> {
    let base = std::env::current_dir().context("the working directory cannot be found")?;
    let watched: Result<Vec<_>, _> = git
        .repositories
        .iter()
        .map(|repository| repository_settings(repository, &base, Some(git.poll_interval)))
        .collect();
    let codec = backing.services.codec.clone();
    let publisher = PublisherSettings::new(places.client_config(), codec.clone());
    let mut connector = GitConnector::new(watched?, codec, publisher);
    connector.repositories = (*backing.services.repositories).clone();
    Ok(connector)
}
