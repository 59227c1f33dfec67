//! From the configuration's repositories to the connector's.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use super::{Backing, Places};
use crate::config::{Git, GitStart as Start, Repository};
use crate::connectors::PublisherSettings;
use crate::connectors::git::{
    Address, GitConnector, Patterns, Repositories, RepositoriesSettings, RepositorySettings, Start as ConnectorStart,
};
use crate::schema::Codec;

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

/// The connector over `git`'s repositories, sharing a process with handlers.
///
/// # Errors
/// See [`repository_settings`].
pub fn connector(git: &Git, places: &Places, backing: &Backing) -> anyhow::Result<GitConnector> {
    let services = &backing.services;
    connector_over(git, places, services.codec.clone(), (*services.repositories).clone())
}

/// The connector over `git`'s repositories, alone in its process: it needs no database.
///
/// # Errors
/// See [`repository_settings`].
pub fn lone_connector(git: &Git, places: &Places, codec: Codec) -> anyhow::Result<GitConnector> {
    connector_over(git, places, codec, Repositories::new(repositories_settings(git)?))
}

/// Where mirrors are kept, and what the configured repositories are called.
///
/// # Errors
/// See [`addresses`].
pub(super) fn repositories_settings(git: &Git) -> anyhow::Result<RepositoriesSettings> {
    let known = addresses(&git.repositories)?;
    Ok(RepositoriesSettings { cache_dir: git.cache_dir.clone(), known, ..RepositoriesSettings::default() })
}

fn connector_over(
    git: &Git,
    places: &Places,
    codec: Codec,
    repositories: Repositories,
) -> anyhow::Result<GitConnector> {
    let base = std::env::current_dir().context("the working directory cannot be found")?;
    let watched: Result<Vec<_>, _> = git
        .repositories
        .iter()
        .map(|repository| repository_settings(repository, &base, Some(git.poll_interval)))
        .collect();
    let publisher = PublisherSettings::new(places.client_config(), codec.clone());
    let mut connector = GitConnector::new(watched?, codec, publisher);
    connector.repositories = repositories;
    Ok(connector)
}
