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

/// Where mirrors are kept, what the configured repositories are called, and which others events may name.
///
/// # Errors
/// See [`addresses`]; a pattern that is none.
pub(super) fn repositories_settings(git: &Git) -> anyhow::Result<RepositoriesSettings> {
    let known = addresses(&git.repositories)?;
    let allowed = match (git.allowed.is_empty(), known.is_empty()) {
        (false, _) => Patterns::new(&git.allowed)?,
        // Who lists repositories has no others in mind.
        (true, false) => Patterns::none(),
        // A replica beside a connector that has the list: it cannot know.
        (true, true) => Patterns::any(),
    };
    let (cache_dir, fetch_timeout) = (git.cache_dir.clone(), git.fetch_timeout);
    Ok(RepositoriesSettings { cache_dir, fetch_timeout, allowed, known, ..RepositoriesSettings::default() })
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
    connector.wakes = Some(places.reader());
    Ok(connector)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    #[test]
    fn events_name_configured_repositories_and_what_is_allowed() {
        let check = |configured: &[&str], allowed: &[&str], url: &str, expected: bool| {
            let git = Git {
                repositories: configured.iter().map(|url| Repository::new(*url)).collect(),
                allowed: allowed.iter().map(|&pattern| pattern.to_owned()).collect(),
                ..Settings::default().git
            };
            let resolved = Repositories::new(repositories_settings(&git).unwrap()).resolve(url);
            assert_eq!(resolved.is_ok(), expected, "{configured:?} and {allowed:?}: {resolved:?}");
        };
        check(&[], &[], "/etc", true);
        check(&["/srv/[a]", "https://token@h/o/r.git"], &[], "/srv/[a]/.git", true);
        check(&["/srv/[a]", "https://token@h/o/r.git"], &[], "git@h:o/r", true);
        check(&["/srv/a"], &[], "/srv/a/../b", false);
        check(&["/srv/a"], &[], "http://169.254.169.254/latest", false);
        let patterns = ["https://h/team/*", "file:///srv/git/**"];
        check(&["/srv/a"], &patterns, "/srv/a", true);
        check(&["/srv/a"], &patterns, "https://h/team/r.git", true);
        check(&[], &patterns, "/srv/git/deep/r", true);
        check(&[], &patterns, "/srv/git/../secret", false);
        check(&[], &patterns, "https://h/other/r", false);
        check(&["/srv/a"], &["*"], "/anywhere", true);
    }
}
