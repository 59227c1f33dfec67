//! Opens, mirrors and caches repositories: how handlers and the connector read them from async code.
//!
//! Reads run on tokio's blocking threads, at most [`RepositoriesSettings::reading_max`] at a time; at most
//! [`RepositoriesSettings::open_max`] handles stay open between reads, the longest unused are closed first.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gix::ObjectId;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::fetches::{Fetches, Interrupt};
use super::hosts::GIT_HOST;
use super::hosts::Hosts;
use super::mirror::{self, Upstream};
use super::{Address, Blob, ChangedFile, GitError, Handle, Location, Patterns, RepositoryId};
use crate::outgoing::{Allowed, Guard};

#[derive(Clone, Debug)]
pub struct RepositoriesSettings {
    /// Where mirrors of remote repositories are kept.
    pub cache_dir: PathBuf,
    /// Handles that stay open while nobody reads.
    pub open_max: usize,
    /// Reads at the same time, of all repositories.
    pub reading_max: usize,
    /// For one clone or fetch.
    pub fetch_timeout: Duration,
    /// What a server may send in one clone or fetch.
    pub fetch_max_bytes: u64,
    /// How long a handler's read waits for a clone or fetch, which goes on afterwards. Less than a route's deadline: an
    /// attempt that outlives that is taken for a handler that hangs. More than gix waits for a connection (20 s), so that a
    /// server that says nothing is told from one that is slow.
    pub wait_max: Duration,
    /// Identities (see [`RepositoryId`]) that may be read besides those of [`Self::known`]. An event's URL is somebody's input: where not everybody who can
    /// publish is trusted, this keeps them from reading any directory or asking any host.
    pub allowed: Patterns,
    /// Where repositories are that cannot be read under their identity, or with which credentials.
    pub known: Vec<Address>,
    /// Where servers may be, besides public addresses, that neither of these names: only events do.
    pub reachable: Vec<Allowed>,
}

impl Default for RepositoriesSettings {
    fn default() -> Self {
        Self {
            cache_dir: PathBuf::from(".coafi/git"),
            open_max: 32,
            reading_max: 8,
            fetch_timeout: Duration::from_secs(300),
            fetch_max_bytes: 10 << 30,
            wait_max: Duration::from_secs(25),
            allowed: Patterns::any(),
            known: Vec::new(),
            reachable: Vec::new(),
        }
    }
}

/// All repositories. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Repositories(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: RepositoriesSettings,
    known: HashMap<RepositoryId, Location>,
    reading: Arc<Semaphore>,
    /// Open and unused, the longest unused first.
    idle: Mutex<VecDeque<Handle>>,
    fetches: Fetches,
    hosts: Hosts,
    guard: Guard,
}

impl Default for Repositories {
    fn default() -> Self {
        Self::new(RepositoriesSettings::default())
    }
}

impl Repositories {
    #[must_use]
    pub fn new(settings: RepositoriesSettings) -> Self {
        let known = settings.known.iter().map(|known| (known.id.clone(), known.location.clone())).collect();
        let reading = Arc::new(Semaphore::new(settings.reading_max.max(1)));
        let fetches = Fetches::new(settings.fetch_timeout);
        let hosts = Hosts::new(settings.known.iter(), settings.allowed.texts());
        let guard = Guard::new(&settings.reachable);
        Self(Arc::new(Inner { settings, known, reading, idle: Mutex::default(), fetches, hosts, guard }))
    }

    /// What `url`, a URL or a path, names, and where that is read from.
    ///
    /// # Errors
    /// [`GitError::Address`], [`GitError::NotAllowed`].
    pub fn resolve(&self, url: &str) -> Result<Address, GitError> {
        let base = std::env::current_dir().unwrap_or_default();
        let mut address = Address::parse(url, &base)?;
        match self.0.known.get(&address.id) {
            Some(location) => address.location = location.clone(),
            None if self.0.settings.allowed.matches(address.id.as_str()) => {}
            None => return Err(GitError::NotAllowed { url: address.id.to_string() }),
        }
        Ok(address)
    }

    /// Files that the commit changed against its first parent, by path; a root commit's are all added.
    ///
    /// # Errors
    /// [`GitError`], which converts into a handler's [`Failure`](crate::dispatch::Failure).
    pub async fn changed_files(&self, url: &str, sha: &str) -> Result<Vec<ChangedFile>, GitError> {
        self.read_commit(url, sha, Handle::changed_files).await
    }

    /// The content of `path` at the commit, unless it is longer than `limit` bytes.
    ///
    /// # Errors
    /// [`GitError`]. That there is nothing at the path is no error: [`Blob::Missing`].
    pub async fn blob(&self, url: &str, sha: &str, path: &[u8], limit: usize) -> Result<Blob, GitError> {
        let path = path.to_vec();
        self.read_commit(url, sha, move |handle, commit| handle.blob(commit, &path, limit)).await
    }

    /// Whether there is a file, link, submodule or directory at `path` at the commit.
    ///
    /// # Errors
    /// [`GitError`]
    pub async fn exists(&self, url: &str, sha: &str, path: &[u8]) -> Result<bool, GitError> {
        let path = path.to_vec();
        self.read_commit(url, sha, move |handle, commit| handle.exists(commit, &path)).await
    }

    /// Runs `work` with the repository open, on a blocking thread. A remote repository is cloned first if it is not
    /// mirrored yet; call [`Self::update`] to fetch what is new.
    ///
    /// # Errors
    /// [`GitError`]
    pub async fn read<T: Send + 'static>(
        &self,
        address: &Address,
        work: impl FnOnce(&mut Handle) -> Result<T, GitError> + Send + 'static,
    ) -> Result<T, GitError> {
        self.mirrored(address).await?;
        let permit = Arc::clone(&self.0.reading).acquire_owned().await.expect("the semaphore is never closed");
        let (inner, of) = (Arc::clone(&self.0), address.clone());
        let reading = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            inner.read(&of, work)
        });
        reading
            .await
            .unwrap_or_else(|error| Err(GitError::Panicked { url: address.id.to_string(), detail: error.to_string() }))
    }

    /// Fetches what a remote repository has new, in a task of its own that goes on if this future is dropped; nothing to
    /// do for a directory.
    ///
    /// # Errors
    /// [`GitError::Unreachable`], [`GitError::TimedOut`], [`GitError::Missing`], [`GitError::Scheme`],
    /// [`GitError::NotPublic`], [`GitError::Busy`], [`GitError::Stopped`].
    pub async fn update(&self, address: &Address) -> Result<(), GitError> {
        match self.0.fetch(address)? {
            Some(fetch) => self.0.fetches.fresh(&address.id, fetch).await,
            None => Ok(()),
        }
    }

    /// The configured server that this repository is fetched from, as a dependency: `git:https://host`.
    #[must_use]
    pub fn host_of(&self, url: &str) -> Option<String> {
        match self.resolve(url).ok()?.location {
            Location::Remote(remote) => self.0.hosts.of(&remote.url).map(|origin| format!("{GIT_HOST}{origin}")),
            Location::Directory(_) | Location::Unreadable { .. } => None,
        }
    }

    /// Whether a configured server, `https://host`, answers; a failure that is about it names it so.
    ///
    /// # Errors
    /// What stands in the way, for people.
    pub async fn host_answers(&self, origin: &str) -> Result<(), String> {
        self.0.hosts.answers(origin).await
    }

    /// Interrupts fetches and waits for their end. For shutdown: nothing is fetched afterwards.
    pub async fn stop(&self) {
        self.0.fetches.stop().await;
    }

    /// Waits until a remote repository has been cloned.
    async fn mirrored(&self, address: &Address) -> Result<(), GitError> {
        match self.0.fetch(address)? {
            Some(fetch) if !self.0.directory(address)?.exists() => self.0.fetches.shared(&address.id, fetch).await,
            _ => Ok(()),
        }
    }

    async fn read_commit<T: Send + 'static>(
        &self,
        url: &str,
        sha: &str,
        work: impl Fn(&mut Handle, ObjectId) -> Result<T, GitError> + Send + Sync + 'static,
    ) -> Result<T, GitError> {
        let address = self.resolve(url)?;
        let commit =
            ObjectId::from_hex(sha.as_bytes()).map_err(|_| GitError::Sha { sha: sha.chars().take(64).collect() })?;
        let work = Arc::new(work);
        let again = Arc::clone(&work);
        let until = Instant::now() + self.0.settings.wait_max;
        self.wait(&address, until, self.mirrored(&address)).await?;
        match self.read(&address, move |handle| work(handle, commit)).await {
            // A webhook can be faster than our last fetch.
            Err(GitError::UnknownCommit { .. }) if matches!(address.location, Location::Remote(_)) => {
                self.wait(&address, until, self.update(&address)).await?;
                self.read(&address, move |handle| again(handle, commit)).await
            }
            read => read,
        }
    }

    async fn wait(
        &self,
        address: &Address,
        until: Instant,
        fetch: impl Future<Output = Result<(), GitError>>,
    ) -> Result<(), GitError> {
        tokio::time::timeout_at(until, fetch).await.unwrap_or_else(|_| {
            Err(GitError::NotReady { url: address.id.to_string(), seconds: self.0.settings.wait_max.as_secs() })
        })
    }
}

impl Inner {
    fn read<T>(&self, address: &Address, work: impl FnOnce(&mut Handle) -> Result<T, GitError>) -> Result<T, GitError> {
        let mut handle = match self.take(&address.id) {
            Some(handle) => handle,
            None => Handle::open(&address.id, &self.directory(address)?)?,
        };
        let result = work(&mut handle);
        if result.is_ok() {
            self.put(handle);
        }
        result
    }

    fn take(&self, id: &RepositoryId) -> Option<Handle> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = idle.iter().rposition(|handle| handle.id == *id)?;
        idle.remove(newest).filter(Handle::is_current)
    }

    fn put(&self, mut handle: Handle) {
        handle.rest();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push_back(handle);
        while idle.len() > self.settings.open_max {
            idle.pop_front();
        }
    }

    fn directory(&self, address: &Address) -> Result<PathBuf, GitError> {
        match &address.location {
            Location::Directory(path) => Ok(path.clone()),
            Location::Remote(_) => {
                let name = xxhash_rust::xxh3::xxh3_128(address.id.as_str().as_bytes());
                Ok(self.settings.cache_dir.join(format!("{name:032x}.git")))
            }
            Location::Unreadable { scheme } => Err(GitError::Scheme { url: address.id.to_string(), scheme }),
        }
    }

    /// What fetches a repository that is elsewhere; `None` for a directory.
    fn fetch(
        &self,
        address: &Address,
    ) -> Result<Option<impl FnOnce(&Interrupt) -> Result<(), GitError> + Send + 'static>, GitError> {
        let directory = self.directory(address)?;
        let Location::Remote(remote) = &address.location else { return Ok(None) };
        let host = self.hosts.of(&remote.url);
        let guard = host.is_none().then(|| self.guard.clone());
        let bytes_max = self.settings.fetch_max_bytes;
        let (id, upstream) = (address.id.clone(), Upstream { remote: remote.clone(), host, guard, bytes_max });
        Ok(Some(move |interrupt: &Interrupt| mirror::fetch(&id, &upstream, &directory, interrupt)))
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Handle").field(&self.id).finish()
    }
}
