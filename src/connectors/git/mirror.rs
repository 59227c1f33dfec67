//! A bare copy of a remote repository: all its branches and tags, what was deleted there too.
//!
//! Over http and https only. Credentials come from the configured URL; no helper program is asked.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use gix::bstr::{BString, ByteSlice as _};
use gix::progress::Discard;
use gix::protocol::handshake::Ref;
use gix::refs::transaction::{Change, LogChange, PreviousValue, RefEdit};
use gix::remote::Direction;

use super::handle::{chain, options, unreadable};
use super::{GitError, RepositoryId, machine};

const REFSPECS: [&str; 2] = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];

/// Brings the mirror in `directory` up to date; makes it where there is none, completely or not at all. Blocks until done,
/// failed or `interrupt`ed. `host` is named where it does not answer.
///
/// # Errors
/// [`GitError::Missing`] where the server says so, [`GitError::Unreachable`], [`GitError::Corrupt`].
pub(super) fn fetch(
    id: &RepositoryId,
    url: &str,
    host: Option<&str>,
    directory: &Path,
    interrupt: &AtomicBool,
) -> Result<(), GitError> {
    let remote_error = |error: &gix::Error| match remote_error(id, error) {
        // gix says so of a connection that cannot be made or is too slow, and of the server's own errors (5xx).
        GitError::Unreachable { url, detail, .. } if error.is_retryable() => {
            GitError::Unreachable { url, detail, host: host.map(str::to_owned) }
        }
        error => error,
    };
    if directory.join("HEAD").is_file() {
        let repository = gix::open_opts(directory, mirror_options()).map_err(|error| unreadable(id, &error))?;
        return update(&repository, url, interrupt).map_err(|error| remote_error(&error));
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
    update(&repository, url, interrupt).map_err(|error| remote_error(&error))?;
    drop(repository);
    std::fs::rename(&unfinished, directory).map_err(|error| local(&error))
}

fn mirror_options() -> gix::open::Options {
    // A reference's change is signed with a name, although a bare repository logs none.
    options().cli_overrides(["user.name=coafi", "user.email=coafi@localhost"])
}

fn update(repository: &gix::Repository, url: &str, interrupt: &AtomicBool) -> gix::Result<()> {
    let remote = repository
        .remote_at_without_url_rewrite(url)?
        .with_fetch_tags(gix::remote::fetch::Tags::None)
        .with_refspecs(REFSPECS, Direction::Fetch)?;
    let mut connection = remote.connect(Direction::Fetch)?;
    connection.set_credentials(|_| Ok(None));
    let outcome = connection.prepare_fetch(Discard, gix::remote::ref_map::Options::default())?;
    let outcome = outcome.receive(Discard, interrupt)?;
    prune(repository, &outcome.ref_map.remote_refs)?;
    follow_head(repository, &outcome.ref_map.remote_refs)
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
    let detail = detail.split_whitespace().map(without_userinfo).collect::<Vec<_>>().join(" ");
    if machine::is_to_blame(error) {
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

fn without_userinfo(word: &str) -> String {
    match (word.find("://"), word.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}{}", &word[..scheme + 3], &word[at + 1..]),
        _ => word.to_owned(),
    }
}
