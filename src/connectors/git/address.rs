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
//!
//! What is fetched from is what the identity names, since that is what `git.allowed` is asked about: a URL that another
//! reader of URLs could take for another host or path is refused.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use super::{Credentials, GitError};

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A directory on this machine: a worktree, a linked worktree, or a bare repository.
    Directory(PathBuf),
    /// A server to mirror from.
    Remote(Remote),
    /// A scheme that names a repository but that we do not read from.
    Unreadable { scheme: &'static str },
}

/// Where a server has the repository, and who it is told is asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Over http or https: the identity, with `.git` where the address has it.
    pub url: String,
    /// From the configuration, never from an address: that may be an event's.
    pub credentials: Option<Credentials>,
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
                Some((host, path)) => Self::unreadable("ssh", host, path).map_err(bad),
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
                let (id, url) = normalised(scheme, authority, path, default_port).map_err(bad)?;
                Ok(Self { id, location: Location::Remote(Remote { url, credentials: None }) })
            }
            "ssh" | "git+ssh" => Self::unreadable("ssh", authority, path).map_err(bad),
            "git" => Self::unreadable("git", authority, path).map_err(bad),
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

    fn unreadable(scheme: &'static str, authority: &str, path: &str) -> Result<Self, &'static str> {
        let default_port = if scheme == "ssh" { ":22" } else { ":9418" };
        // Of what is written as https, its own default goes too: servers speak ssh at port 443.
        let authority = authority.strip_suffix(default_port).unwrap_or(authority);
        let (id, _) = normalised("https", authority, path, HTTPS_PORT)?;
        Ok(Self { id, location: Location::Unreadable { scheme } })
    }
}

/// The identity, and the URL that the repository is at; or what is wrong.
fn normalised(
    scheme: &str,
    authority: &str,
    path: &str,
    default_port: &str,
) -> Result<(RepositoryId, String), &'static str> {
    // Others end the host at these, or leave them out.
    let ambiguous = |c: char| matches!(c, '?' | '#' | '\\') || c.is_whitespace();
    if authority.contains(ambiguous) || path.contains(ambiguous) {
        return Err("in its URL is a ?, a #, a \\ or a space, which are written %3F, %23, %5C and %20");
    }
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host).to_ascii_lowercase();
    let path = path.trim_matches('/');
    let without = path.strip_suffix(GIT).map(|path| path.trim_end_matches('/'));
    let named = without.filter(|path| !path.ends_with(GIT)).unwrap_or(path);
    if host.is_empty() || named.is_empty() {
        return Err("no host or no path");
    }
    if !is_host(&host) {
        return Err("its host is not of letters, digits, '.', '-' and '_', or an IPv6 address in brackets, and a port");
    }
    if climbs(named) {
        return Err("its path has . or .. between slashes");
    }
    let host = host.strip_suffix(default_port).unwrap_or(&host);
    Ok((RepositoryId(format!("{scheme}://{host}/{named}").into()), format!("{scheme}://{host}/{path}")))
}

/// With a port or without.
fn is_host(text: &str) -> bool {
    let (valid, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => (address.parse::<Ipv6Addr>().is_ok(), port),
        None => {
            let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
            (!name.is_empty() && name.bytes().all(plain), port)
        }
    };
    let is_port = |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|n| n > 0);
    valid && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

/// HTTP clients take such segments out of a path, also where they are written with `%`, and servers may.
fn climbs(path: &str) -> bool {
    let bytes: Vec<u8> = percent_decode_str(path).collect();
    bytes.split(|b| matches!(b, b'/' | b'\\')).any(|segment| segment == b"." || segment == b"..")
}

/// `user@host:path`, git's short form for ssh: a colon before any slash.
fn scp_like(text: &str) -> Option<(&str, &str)> {
    let (host, path) = text.split_once(':')?;
    (host.contains('@') && !host.contains('/')).then_some((host, path))
}

/// For messages: `user:secret@` goes. Where a host ends is not known of what is refused, so that all goes up to the last `@`.
fn without_credentials(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    format!("{scheme}://{}", rest.rsplit_once('@').map_or(rest, |(_, rest)| rest))
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
        let several = ["https://h/r.git.git", "https://h/r.git/.git", "/srv/b/.git/.git", "https://h:443//o//r"];
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
        let error = Address::parse("https://u:s/ecret@host/r", Path::new("/")).unwrap_err().to_string();
        assert!(!error.contains("ecret"), "{error}");
        let address = Address::parse("https://u:secret@host/r", Path::new("/")).unwrap();
        assert!(!format!("{address:?}").contains("secret"));
    }

    #[test]
    fn what_could_be_fetched_from_elsewhere_than_its_identity_says_is_refused() {
        for mark in ["?", "#", "\\", "/..\\", " "] {
            check(
                &format!("https://evil.example{mark}@example.org/team/r"),
                Err("a ?, a #, a \\ or a space, which are written"),
            );
            check(&format!("https://example.org/team{mark}/r"), Err("a ?, a #, a \\ or a space, which are written"));
        }
        check("https://evil.example\t@example.org/r", Err("control characters"));
        for host in ["evil%2eexample", "h:", "h:0", "h:+80", "h:80:443", "[::1", "[h]", "m\u{fc}ller.example", "a,b"] {
            check(&format!("https://{host}/r"), Err("its host is not of letters"));
        }
        for path in ["team/../r", "team/.%2E/r", "team/..%2fr", "./r", "team/%5c..%5cr", "r/..", "team/...git"] {
            check(&format!("https://example.org/{path}"), Err("has . or .. between slashes"));
        }
        check("https://[2001:DB8::1]:8443/o/r", Ok("https://[2001:db8::1]:8443/o/r"));
        check("https://h/o/...r/.github", Ok("https://h/o/...r/.github"));
    }

    #[test]
    fn what_is_fetched_begins_as_the_identity() {
        let address = Address::parse("HTTPS://u@HOST:443//o/r.git/", Path::new("/")).unwrap();
        let Location::Remote(remote) = address.location else { panic!("{address:?}") };
        assert_eq!((address.id.as_str(), remote.url.as_str()), ("https://host/o/r", "https://host/o/r.git"));
        assert_eq!(remote.credentials, None);
    }
}
