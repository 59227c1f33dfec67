//! From the configuration's repositories to the connector's.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use super::{Backing, Places};
use crate::config::{Git, GitStart as Start, Repository};
use crate::connectors::PublisherSettings;
use crate::connectors::git::{
    Address, GitConnector, Location, Patterns, Repositories, RepositoriesSettings, RepositorySettings,
    Start as ConnectorStart,
};
use crate::outgoing::Allowed;
use crate::schema::Codec;

/// Every repository's address, relative paths taken from the working directory.
///
/// # Errors
/// What is neither a path nor a URL that can be read.
pub(super) fn addresses(repositories: &[Repository]) -> anyhow::Result<Vec<Address>> {
    let base = std::env::current_dir().context("the working directory cannot be found")?;
    repositories.iter().map(|repository| address(repository, &base)).collect()
}

fn address(repository: &Repository, base: &Path) -> anyhow::Result<Address> {
    let mut address = Address::parse(&repository.url, base)?;
    if let Location::Remote(remote) = &mut address.location {
        remote.credentials.clone_from(&repository.credentials);
    }
    Ok(address)
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
    let mut settings = RepositorySettings::new(address(repository, base)?);
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
    // It reads what is configured, so there is nobody to keep from private addresses.
    connector_over(git, places, codec, Repositories::new(repositories_settings(git, &[])?))
}

/// Where mirrors are kept, what the configured repositories are called, and which others events may name; `reachable` is
/// where the servers of these may be besides public addresses.
///
/// # Errors
/// See [`addresses`]; a pattern that is none.
pub(super) fn repositories_settings(git: &Git, reachable: &[Allowed]) -> anyhow::Result<RepositoriesSettings> {
    let known = addresses(&git.repositories)?;
    let allowed = match (git.allowed.is_empty(), known.is_empty()) {
        (false, _) => Patterns::new(&git.allowed)?,
        // Who lists repositories has no others in mind.
        (true, false) => Patterns::none(),
        // A replica beside a connector that has the list: it cannot know.
        (true, true) => Patterns::any(),
    };
    Ok(RepositoriesSettings {
        cache_dir: git.cache_dir.clone(),
        fetch_timeout: git.fetch_timeout,
        fetch_max_bytes: git.fetch_max_bytes,
        allowed,
        known,
        reachable: reachable.to_vec(),
        ..RepositoriesSettings::default()
    })
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
    use crate::connectors::git::Remote;

    #[test]
    fn events_name_configured_repositories_and_what_is_allowed() {
        let check = |configured: &[&str], allowed: &[&str], url: &str, expected: bool| {
            let git = Git {
                repositories: configured.iter().map(|url| Repository::new(*url)).collect(),
                allowed: allowed.iter().map(|&pattern| pattern.to_owned()).collect(),
                ..Settings::default().git
            };
            let resolved = Repositories::new(repositories_settings(&git, &[]).unwrap()).resolve(url);
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
        check(&[], &patterns, "https://evil.example?@h/team/r", false);
    }

    #[test]
    fn only_a_configured_repository_is_fetched_with_its_credentials() {
        let repositories = vec![Repository::new("https://me:hunter2@h/o/r.git")];
        let git = Git { repositories, allowed: vec!["*".to_owned()], ..Settings::default().git };
        let resolved = Repositories::new(repositories_settings(&git, &[]).unwrap());
        let check = |url: &str, expected: Option<&str>| {
            let address = resolved.resolve(url).unwrap();
            assert!(!format!("{address:?}").contains("hunter2"), "{address:?}");
            let Location::Remote(Remote { credentials, .. }) = address.location else { panic!("{url}") };
            assert_eq!(credentials.as_ref().map(|c| c.password.expose()), expected, "{url}");
        };
        check("https://h/o/r", Some("hunter2"));
        check("https://other:secret@h/o/r", Some("hunter2"));
        check("https://h/o/other", None);
        check("https://me:secret@h/o/other", None);
        let watched = repository_settings(&git.repositories[0], Path::new("/"), None).unwrap();
        assert_eq!(watched.address, resolved.resolve("https://h/o/r").unwrap(), "the connector's own");
    }
}
