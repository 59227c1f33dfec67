//! Git repositories: as a trigger source, and as something that handlers read from.
//!
//! Reading is gix alone: no program is started. `address` says what a repository is called, [`Repositories`] opens and
//! mirrors, a `Handle` reads on one thread, a `Session` finds what is new, and `source` publishes it.
//!
//! It does not know what handlers do with commits, nor the engine.

mod address;
mod batch;
mod blob;
mod changes;
mod commit;
mod connector;
mod credentials;
mod error;
mod events;
mod fetches;
#[cfg(any(test, fuzzing))]
mod fuzzing;
mod graph;
mod handle;
mod hosts;
mod identity;
mod machine;
mod mirror;
mod patterns;
mod progress;
mod received;
mod refs;
mod repositories;
mod session;
mod settings;
mod simulate;
mod source;
mod state;
mod tags;
mod walk;

pub use super::Sharing;
pub use address::{Address, Location, Remote, RepositoryId};
pub use batch::{Annotation, Batch, Change, Limits, TagTarget};
pub use blob::Blob;
pub use changes::{ChangeStatus, ChangedFile, EntryType};
pub use commit::{Commit, Signature};
pub use connector::{ConnectorError, GitConnector, SOURCES_MAX};
pub use credentials::Credentials;
pub use error::GitError;
pub use events::GIT_TOPIC;
pub use handle::Handle;
pub use hosts::GIT_HOST;
pub use identity::Identity;
pub use patterns::{BadPattern, Patterns};
pub use progress::{Phase, Progress, RepositoryProgress};
pub use refs::Snapshot;
pub use repositories::{Repositories, RepositoriesSettings};
pub use session::Session;
pub use settings::{BadStart, PollSettings, RepositorySettings, Start};
pub use simulate::{complete, resolve};
pub use source::CONNECTOR;
pub use source::SourceError;
pub use state::{RepositoryState, Sha, UnreadableOffset};

#[cfg(test)]
mod tests;
