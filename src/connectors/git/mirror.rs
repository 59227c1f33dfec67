//! A bare copy of a remote repository: all its branches and tags, what was deleted there too.
//!
//! Over http and https only. Credentials come from the configuration; no helper program is asked. No redirect is followed: it
//! could lead to a server that nobody allowed, and credentials with it.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use gix::bstr::{BString, ByteSlice as _};
use gix::progress::Discard;
use gix::protocol::handshake::Ref;
use gix::protocol::transport::client::TransportWithoutIO as _;
use gix::protocol::transport::client::blocking_io::http;
use gix::protocol::transport::client::blocking_io::http::options::FollowRedirects;
use gix::refs::transaction::{Change, LogChange, PreviousValue, RefEdit};
use gix::remote::Direction;

use super::fetches::Interrupt;
use super::handle::{chain, options, unreadable};
use super::received::Received;
use super::{Credentials, GitError, Remote, RepositoryId, machine};
use crate::outgoing::{Guard, Refused};

const REFSPECS: [&str; 2] = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];

/// What is fetched from.
pub(super) struct Upstream {
    pub(super) remote: Remote,
    /// The server, named where it does not answer.
    pub(super) host: Option<String>,
    /// Keeps it out of private networks; `None` for a server that this process has been told of.
    pub(super) guard: Option<Guard>,
    /// Of what it sends in one clone or fetch.
    pub(super) bytes_max: u64,
}

/// Brings the mirror in `directory` up to date; makes it where there is none, completely or not at all. Blocks until done,
/// failed or `interrupt`ed.
///
/// # Errors
/// [`GitError::Missing`] where the server says so, [`GitError::NotPublic`], [`GitError::Unreachable`], [`GitError::Corrupt`],
/// [`GitError::TooLarge`].
pub(super) fn fetch(
    id: &RepositoryId,
    upstream: &Upstream,
    directory: &Path,
    interrupt: &Interrupt,
) -> Result<(), GitError> {
    let received = Received::new(upstream.bytes_max, Arc::clone(interrupt));
    let exceeded = received.exceeded();
    let remote_error = |error: &gix::Error| match remote_error(id, error) {
        _ if exceeded.load(Ordering::Relaxed) => GitError::TooLarge { url: id.to_string(), limit: upstream.bytes_max },
        // gix says so of a connection that cannot be made or is too slow, and of the server's own errors (5xx).
        GitError::Unreachable { url, detail, .. } if error.is_retryable() => {
            GitError::Unreachable { url, detail, host: upstream.host.clone() }
        }
        error => error,
    };
    // What is no URL here is none to gix's client either.
    if let (Some(guard), Ok(url)) = (&upstream.guard, upstream.remote.url.parse()) {
        guard.check(&url).map_err(|refused| not_public(id, &refused))?;
    }
    if directory.join("HEAD").is_file() {
        let repository = gix::open_opts(directory, mirror_options()).map_err(|error| unreadable(id, &error))?;
        return update(&repository, upstream, received, interrupt).map_err(|error| remote_error(&error));
    }
    let local = |error: &dyn std::fmt::Display| GitError::Unreachable {
        url: id.to_string(),
        detail: format!("the mirror in {} cannot be made: {error}", directory.display()),
        host: None,
    };
    let unfinished = directory.with_extension("unfinished");
    if unfinished.exists() {
        std::fs::remove_dir_all(&unfinished).map_err(|error| local(&error))?;
    }
    std::fs::create_dir_all(&unfinished).map_err(|error| local(&error))?;
    let create = gix::create::Options::default();
    let made = gix::ThreadSafeRepository::init_opts(&unfinished, gix::create::Kind::Bare, create, mirror_options());
    let repository = made.map_err(|error| local(&chain(&error)))?.to_thread_local();
    update(&repository, upstream, received, interrupt).map_err(|error| remote_error(&error))?;
    drop(repository);
    std::fs::rename(&unfinished, directory).map_err(|error| local(&error))
}

fn mirror_options() -> gix::open::Options {
    // A reference's change is signed with a name, although a bare repository logs none.
    options().cli_overrides(["user.name=coafi", "user.email=coafi@localhost"])
}

fn update(
    repository: &gix::Repository,
    upstream: &Upstream,
    received: Received,
    interrupt: &AtomicBool,
) -> gix::Result<()> {
    let Upstream { remote: Remote { url, credentials }, guard, .. } = upstream;
    let remote = repository
        .remote_at_without_url_rewrite(url.as_str())?
        .with_fetch_tags(gix::remote::fetch::Tags::None)
        .with_refspecs(REFSPECS, Direction::Fetch)?;
    let mut connection = remote.connect(Direction::Fetch)?;
    connection.set_credentials(|_| Ok(None));
    connection.set_transport_options(Box::new(http_options(guard.as_ref())));
    if let Some(Credentials { username, password }) = credentials {
        // Not as a part of the URL, which is in gix's errors.
        let (username, password) = (username.clone(), password.expose().to_owned());
        let account = gix::sec::identity::Account { username, password, oauth_refresh_token: None };
        connection.transport_mut().set_identity(account).map_err(gix::Error::from_error)?;
    }
    let outcome = connection.prepare_fetch(Discard, gix::remote::ref_map::Options::default())?;
    let outcome = outcome.receive(received, interrupt)?;
    prune(repository, &outcome.ref_map.remote_refs)?;
    follow_head(repository, &outcome.ref_map.remote_refs)
}

fn http_options(guard: Option<&Guard>) -> http::Options {
    let guarded = |guard: &Guard| -> Arc<Mutex<dyn std::any::Any + Send + Sync>> {
        let guard = Arc::new(guard.clone());
        let configure_client: Box<http::reqwest::ConfigureClientFn> =
            // A proxy would resolve the name, behind the guard's back.
            Box::new(move |client| Ok(client.no_proxy().dns_resolver(Arc::clone(&guard))));
        let options = http::reqwest::Options { configure_client: Some(configure_client), configure_request: None };
        Arc::new(Mutex::new(options))
    };
    http::Options { follow_redirects: FollowRedirects::None, backend: guard.map(guarded), ..http::Options::default() }
}

/// Deletes what the server no longer has.
fn prune(repository: &gix::Repository, remote: &[Ref]) -> gix::Result<()> {
    let there: HashSet<BString> = remote.iter().map(|reference| reference.unpack().0.to_owned()).collect();
    let platform = repository.references()?;
    for here in platform.local_branches()?.chain(platform.tags()?) {
        let here = here?;
        if !there.contains(here.name().as_bstr()) {
            here.delete()?;
        }
    }
    Ok(())
}

/// HEAD names the server's default branch, which is published first.
fn follow_head(repository: &gix::Repository, remote: &[Ref]) -> gix::Result<()> {
    let target = remote.iter().find_map(|reference| match reference {
        Ref::Symbolic { full_ref_name, target, .. } | Ref::Unborn { full_ref_name, target }
            if full_ref_name.as_bstr() == "HEAD" =>
        {
            gix::refs::FullName::try_from(target.clone()).ok()
        }
        _ => None,
    });
    let Some(target) = target.filter(|target| target.as_bstr().starts_with(b"refs/heads/")) else { return Ok(()) };
    if repository.head()?.referent_name().is_some_and(|name| name == target.as_ref()) {
        return Ok(());
    }
    repository.edit_reference(RefEdit {
        change: Change::Update {
            log: LogChange::default(),
            expected: PreviousValue::Any,
            new: gix::refs::Target::Symbolic(target),
        },
        name: gix::refs::FullName::try_from("HEAD").expect("HEAD is a valid name"),
        deref: false,
    })?;
    Ok(())
}

fn remote_error(id: &RepositoryId, error: &gix::Error) -> GitError {
    let (url, detail) = (id.to_string(), chain(error));
    // The server's answer comes as text, with the URL in it; credentials must not be logged.
    let mut detail = detail.split_whitespace().map(without_userinfo).collect::<Vec<_>>().join(" ");
    if error.is_unsupported() {
        // gix takes a redirect for an answer, and misses git's content in it.
        detail.push_str("; redirects are not followed, so the address has to be where they lead");
    }
    if let Some(refused) = error.downcast_any_ref::<Refused>() {
        not_public(id, refused)
    } else if machine::is_to_blame(error) {
        // Of the network too, where the server is to blame: either way it may be over soon.
        GitError::Unreachable { url, detail, host: None }
    } else if error.is_corrupted() {
        GitError::Corrupt { url, detail }
    } else if error.is_not_found() || error.is_permission_denied() || error.is_unauthenticated() {
        GitError::Missing { url, detail }
    } else {
        GitError::Unreachable { url, detail, host: None }
    }
}

fn not_public(id: &RepositoryId, refused: &Refused) -> GitError {
    GitError::NotPublic { url: id.to_string(), detail: refused.to_string() }
}

fn without_userinfo(word: &str) -> String {
    match (word.find("://"), word.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}{}", &word[..scheme + 3], &word[at + 1..]),
        _ => word.to_owned(),
    }
}
