//! What GitHub's and GitLab's payloads say, as far as anybody here wants to know: which repository was pushed to.

use std::path::Path;

use serde::Deserialize;

use super::{github, gitlab};
use crate::connectors::git::{Address, RepositoryId};

/// A longer address names no repository that anybody watches.
const ADDRESS_BYTES_MAX: usize = 2_048;

/// What a delivery of a forge is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// A branch or a tag was pushed, moved or deleted. What the repository may be called, the likeliest first, each once.
    Push(Vec<RepositoryId>),
    /// The forge asks whether anybody is here.
    Ping,
    /// Anything else.
    Other(String),
}

/// A payload that is not what its event's name promises.
#[derive(Debug, thiserror::Error)]
#[error("the payload of {event:?} is not understood: {source}")]
pub(super) struct BadPayload {
    event: String,
    source: serde_json::Error,
}

#[derive(Deserialize)]
struct GithubPush {
    repository: GithubRepository,
}

#[derive(Deserialize)]
struct GithubRepository {
    clone_url: Option<String>,
    ssh_url: Option<String>,
    html_url: Option<String>,
}

#[derive(Deserialize)]
struct GitlabPush {
    project: GitlabProject,
}

#[derive(Deserialize)]
struct GitlabProject {
    git_http_url: Option<String>,
    git_ssh_url: Option<String>,
    web_url: Option<String>,
}

/// System hooks have one header for all events.
#[derive(Deserialize)]
struct GitlabSystem {
    event_name: Option<String>,
}

/// `event` is the value of `X-GitHub-Event`.
pub(super) fn github(event: &str, body: &[u8]) -> Result<Told, BadPayload> {
    match event {
        "ping" => Ok(Told::Ping),
        "push" => {
            let GithubPush { repository } = parse(github::EVENT, event, body)?;
            Ok(Told::Push(names([repository.clone_url, repository.ssh_url, repository.html_url])))
        }
        other => Ok(Told::Other(other.to_owned())),
    }
}

/// `event` is the value of `X-Gitlab-Event`.
pub(super) fn gitlab(event: &str, body: &[u8]) -> Result<Told, BadPayload> {
    let is_push = match event {
        "Push Hook" | "Tag Push Hook" => true,
        "System Hook" => {
            let GitlabSystem { event_name } = parse(gitlab::EVENT, event, body)?;
            match event_name.as_deref() {
                Some("push" | "tag_push" | "repository_update") => true,
                other => return Ok(Told::Other(format!("{event}: {}", other.unwrap_or_default()))),
            }
        }
        _ => false,
    };
    if !is_push {
        return Ok(Told::Other(event.to_owned()));
    }
    let GitlabPush { project } = parse(gitlab::EVENT, event, body)?;
    Ok(Told::Push(names([project.git_http_url, project.git_ssh_url, project.web_url])))
}

fn parse<'a, T: Deserialize<'a>>(header: &str, event: &str, body: &'a [u8]) -> Result<T, BadPayload> {
    serde_json::from_slice(body).map_err(|source| BadPayload { event: format!("{header}: {event}"), source })
}

fn names(addresses: [Option<String>; 3]) -> Vec<RepositoryId> {
    let mut names = Vec::new();
    for address in addresses.into_iter().flatten().filter(|address| address.len() <= ADDRESS_BYTES_MAX) {
        // A path of a payload is nobody's here; a forge gives URLs.
        if let Ok(Address { id, .. }) = Address::parse(&address, Path::new("/"))
            && !names.contains(&id)
        {
            names.push(id);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const GITHUB_BRANCH: &[u8] = include_bytes!("../../../../tests/payloads/github_push_branch.json");
    const GITHUB_TAG: &[u8] = include_bytes!("../../../../tests/payloads/github_push_tag.json");
    const GITHUB_PING: &[u8] = include_bytes!("../../../../tests/payloads/github_ping.json");
    const GITHUB_ISSUES: &[u8] = include_bytes!("../../../../tests/payloads/github_issues.json");
    const GITLAB_PUSH: &[u8] = include_bytes!("../../../../tests/payloads/gitlab_push.json");

    fn pushed(told: Result<Told, BadPayload>) -> Vec<String> {
        match told.unwrap() {
            Told::Push(names) => names.iter().map(ToString::to_string).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_push_names_its_repository_as_the_connector_does() {
        for body in [GITHUB_BRANCH, GITHUB_TAG] {
            assert_eq!(pushed(github("push", body)), ["https://github.com/Codertocat/Hello-World"]);
        }
        // The address over ssh has no port of http's.
        let names = ["http://gitlab.example.com:8080/team/parts", "https://gitlab.example.com/team/parts"];
        for event in ["Push Hook", "Tag Push Hook", "System Hook"] {
            assert_eq!(pushed(gitlab(event, GITLAB_PUSH)), names, "{event}");
        }
    }

    #[test]
    fn what_is_no_push_is_named() {
        assert_eq!(github("ping", GITHUB_PING).unwrap(), Told::Ping);
        assert_eq!(github("issues", GITHUB_ISSUES).unwrap(), Told::Other("issues".into()));
        assert_eq!(gitlab("Issue Hook", b"{}").unwrap(), Told::Other("Issue Hook".into()));
        let created = gitlab("System Hook", br#"{"event_name": "project_create"}"#).unwrap();
        assert_eq!(created, Told::Other("System Hook: project_create".into()));
    }

    #[test]
    fn a_push_without_a_repository_is_not_understood() {
        for told in [github("push", b"{}"), gitlab("Push Hook", b"[]"), github("push", b"payload=%7B%7D")] {
            assert!(told.unwrap_err().to_string().contains("is not understood"));
        }
    }
}
