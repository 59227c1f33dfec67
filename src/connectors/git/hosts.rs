//! Servers that this process has been told of, by its repositories' addresses or by patterns that name them: one that does not
//! answer is an outage. A server that only an event names is that event's trouble.

use std::collections::HashSet;
use std::sync::OnceLock;

use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};

use super::address::{Address, Location};

/// What a server is called as a dependency, before its origin: `git:https://github.com`.
pub const GIT_HOST: &str = "git:";

/// Ends the part of a pattern that is the same in all that it matches.
const GLOB: [char; 6] = ['*', '?', '[', ']', '{', '}'];

#[derive(Debug, Default)]
pub(super) struct Hosts {
    origins: HashSet<String>,
    client: OnceLock<Client>,
}

impl Hosts {
    pub(super) fn new<'a>(known: impl Iterator<Item = &'a Address>, patterns: &[String]) -> Self {
        let of_repositories = known.filter_map(|address| match &address.location {
            Location::Remote(remote) => origin(&remote.url),
            Location::Directory(_) | Location::Unreadable { .. } => None,
        });
        let of_patterns = patterns.iter().filter_map(|pattern| {
            let (scheme, rest) = pattern.split_once("://")?;
            let host = rest.split('/').next().filter(|host| !host.contains(GLOB))?;
            origin(&format!("{scheme}://{host}"))
        });
        Self { origins: of_repositories.chain(of_patterns).collect(), client: OnceLock::new() }
    }

    /// The server of this URL, if it is one of these.
    pub(super) fn of(&self, url: &str) -> Option<String> {
        origin(url).filter(|origin| self.origins.contains(origin))
    }

    /// Whether a server of these is back. Any answer is one, but that of a proxy whose server is away.
    ///
    /// # Errors
    /// What stands in the way, without credentials.
    pub(super) async fn answers(&self, origin: &str) -> Result<(), String> {
        if !self.origins.contains(origin) {
            return Err(format!("{origin} is not configured any more"));
        }
        let client = self.client.get_or_init(|| {
            Client::builder().redirect(Policy::none()).build().expect("nothing in it is asked for by a user")
        });
        let response = client.head(origin).send().await.map_err(|error| error.without_url().to_string())?;
        match response.status() {
            status @ (StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT) => {
                Err(status.to_string())
            }
            _ => Ok(()),
        }
    }
}

/// `https://host`, or with a port that is not the scheme's; no credentials.
fn origin(url: &str) -> Option<String> {
    let origin = Url::parse(url).ok()?.origin();
    origin.is_tuple().then(|| origin.ascii_serialization())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_those_of_repositories_and_of_patterns_that_name_one() {
        let known = ["https://token@Host:443/o/r.git", "/srv/git/r", "git@ssh.example:o/r.git"];
        let known = known.map(|text| Address::parse(text, std::path::Path::new("/")).unwrap());
        let patterns =
            ["https://named.example/team/*", "https://*.example/**", "file:///srv/**", "*"].map(str::to_owned);
        let hosts = Hosts::new(known.iter(), &patterns);
        let check = |url: &str, expected: Option<&str>| assert_eq!(hosts.of(url).as_deref(), expected, "{url}");
        check("https://host/o/another.git", Some("https://host"));
        check("https://named.example/any", Some("https://named.example"));
        check("http://named.example/any", None);
        check("https://named.example:8443/any", None);
        check("https://other.example/o/r", None);
        check("https://ssh.example/o/r", None);
        check("file:///srv/git/r", None);
        check("/srv/git/r", None);
    }
}
