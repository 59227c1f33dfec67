//! What a repository is called, and where it is.
//!
//! [`RepositoryId`] is the `source` and the key of every event about a repository, so a poll and a webhook must come to
//! the same one. It is a pure function of the address:
//!
//! | address | identity |
//! |---|---|
//! | `/srv/a/../b/.git`, `/srv/b`, `file:///srv/b/` | `file:///srv/b` |
//! | `https://token@Host:443/o/r.git`, `https://host/o/r/` | `https://host/o/r` |
//! | `git@host:o/r.git`, `ssh://git@host/o/r.git`, `git://host/o/r` | `https://host/o/r` |
//!
//! The last row can be named by webhooks but not read: gix would start the `ssh` program.

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use super::GitError;

/// A repository's normalised URL: no credentials, no default port, no `.git`, no trailing slash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryId(Arc<str>);

impl RepositoryId {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RepositoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where the objects are.
#[derive(Clone, PartialEq, Eq)]
pub enum Location {
    /// A directory on this machine: a worktree, a linked worktree, or a bare repository.
    Directory(PathBuf),
    /// A server to mirror from, over http or https. May hold credentials, so it is never printed.
    Remote(String),
    /// A scheme that names a repository but that we do not read from.
    Unreadable { scheme: &'static str },
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => f.debug_tuple("Directory").field(path).finish(),
            Self::Remote(_) => f.write_str("Remote(..)"),
            Self::Unreadable { scheme } => f.debug_tuple("Unreadable").field(scheme).finish(),
        }
    }
}

/// A repository as somebody wrote it: a path or a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub id: RepositoryId,
    pub location: Location,
}

/// The folder in a work tree, and what addresses may end with. Of several nothing is taken, or the identity would be another
/// repository's address.
const GIT: &str = ".git";
const HTTPS_PORT: &str = ":443";

/// Unreserved characters of RFC 3986 and the path's own `/` stay as they are.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Address {
    /// Reads `text`; a relative path is relative to `base`. Does not look at the file system, so the result is the same
    /// whether the repository is there or not.
    ///
    /// # Errors
    /// [`GitError::Address`], which says what is allowed.
    pub fn parse(text: &str, base: &Path) -> Result<Self, GitError> {
        let bad = |reason: &str| GitError::Address { text: without_credentials(text), reason: reason.to_owned() };
        if text.is_empty() || text.contains(|c: char| c.is_control()) {
            return Err(bad("it is empty or has control characters"));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return match scp_like(text) {
                Some((host, path)) => Self::unreadable("ssh", host, path).ok_or_else(|| bad("no host or no path")),
                None => Ok(Self::directory(&base.join(text))),
            };
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        match scheme.to_ascii_lowercase().as_str() {
            "file" if authority.is_empty() || authority == "localhost" => {
                let bytes: Vec<u8> = percent_decode_str(path).collect();
                let path = path_of_bytes(bytes).filter(|path| path.is_absolute());
                Ok(Self::directory(&path.ok_or_else(|| bad("a file URL needs an absolute path"))?))
            }
            "file" => Err(bad("a file URL cannot name another host")),
            scheme @ ("http" | "https") => {
                let default_port = if scheme == "https" { HTTPS_PORT } else { ":80" };
                let id = normalised(scheme, authority, path, default_port).ok_or_else(|| bad("no host or no path"))?;
                Ok(Self { id, location: Location::Remote(text.to_owned()) })
            }
            "ssh" | "git+ssh" => Self::unreadable("ssh", authority, path).ok_or_else(|| bad("no host or no path")),
            "git" => Self::unreadable("git", authority, path).ok_or_else(|| bad("no host or no path")),
            _ => Err(bad("its scheme is unknown")),
        }
    }

    fn directory(path: &Path) -> Self {
        let mut clean = PathBuf::new();
        for component in path.components() {
            match component {
                Component::CurDir => {}
                Component::ParentDir => {
                    clean.pop();
                }
                other => clean.push(other),
            }
        }
        if clean.ends_with(GIT) && !clean.parent().is_some_and(|parent| parent.ends_with(GIT)) {
            clean.pop();
        }
        let id = format!("file://{}", percent_encode(clean.as_os_str().as_encoded_bytes(), PATH));
        Self { id: RepositoryId(id.into()), location: Location::Directory(clean) }
    }

    fn unreadable(scheme: &'static str, authority: &str, path: &str) -> Option<Self> {
        let default_port = if scheme == "ssh" { ":22" } else { ":9418" };
        // Of what is written as https, its own default goes too: servers speak ssh at port 443.
        let authority = authority.strip_suffix(default_port).unwrap_or(authority);
        let id = normalised("https", authority, path, HTTPS_PORT)?;
        Some(Self { id, location: Location::Unreadable { scheme } })
    }
}

fn normalised(scheme: &str, authority: &str, path: &str, default_port: &str) -> Option<RepositoryId> {
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host).to_ascii_lowercase();
    let host = host.trim_end_matches(default_port);
    let path = path.split(['?', '#']).next().unwrap_or_default().trim_matches('/');
    let without = path.strip_suffix(GIT).map(|path| path.trim_end_matches('/'));
    let path = without.filter(|path| !path.ends_with(GIT)).unwrap_or(path);
    if host.is_empty() || path.is_empty() {
        return None;
    }
    Some(RepositoryId(format!("{scheme}://{host}/{path}").into()))
}

/// `user@host:path`, git's short form for ssh: a colon before any slash.
fn scp_like(text: &str) -> Option<(&str, &str)> {
    let (host, path) = text.split_once(':')?;
    (host.contains('@') && !host.contains('/')).then_some((host, path))
}

/// For messages and events: `user:secret@` goes.
fn without_credentials(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere a path must be UTF-8")]
fn path_of_bytes(bytes: Vec<u8>) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt as _;
    Some(std::ffi::OsString::from_vec(bytes).into())
}

#[cfg(not(unix))]
fn path_of_bytes(bytes: Vec<u8>) -> Option<PathBuf> {
    String::from_utf8(bytes).ok().map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        let parsed = Address::parse(text, Path::new("/base"));
        match (parsed, expected) {
            (Ok(address), Ok(id)) => assert_eq!(address.id.as_str(), id, "{text}"),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{text}: {error}"),
            (parsed, expected) => panic!("{text}: {parsed:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn one_repository_has_one_identity() {
        for text in ["/srv/b", "/srv/a/../b/", "/srv/./b/.git", "file:///srv/b", "file://localhost/srv/b/"] {
            check(text, Ok("file:///srv/b"));
        }
        check("../r", Ok("file:///r"));
        check("a b\u{e9}", Ok("file:///base/a%20b%C3%A9"));
        for text in [
            "https://host/o/r",
            "https://user:secret@HOST:443/o/r.git/",
            "git@host:o/r.git",
            "ssh://git@host:22/o/r",
            "git://host/o/r.git",
        ] {
            check(text, Ok("https://host/o/r"));
        }
        check("http://host:8080/r.git", Ok("http://host:8080/r"));
        check("/srv/bare.git", Ok("file:///srv/bare.git"));
    }

    #[test]
    fn identities_are_fixed_points() {
        let several = ["https://h/r.git.git", "https://h/r.git/.git", "/srv/b/.git/.git", "https://h:443:443/r"];
        let plain = ["/srv/a b%\u{fc}", "https://u@h/o/r.git", "git@h:o/r", "ssh://git@h:443/o/r", "git://h:443/r"];
        for text in several.into_iter().chain(plain) {
            let id = Address::parse(text, Path::new("/base")).unwrap().id;
            check(id.as_str(), Ok(id.as_str()));
        }
    }

    #[test]
    fn what_is_no_address_is_refused_without_showing_the_password() {
        check("", Err("empty"));
        check("https://host", Err("no host or no path"));
        check("file://other/srv", Err("another host"));
        let error = Address::parse("ftp://u:secret@host/r", Path::new("/")).unwrap_err().to_string();
        assert!(error.contains("ftp://host/r") && !error.contains("secret"), "{error}");
        let location = Address::parse("https://u:secret@host/r", Path::new("/")).unwrap().location;
        assert!(!format!("{location:?}").contains("secret"));
    }
}
