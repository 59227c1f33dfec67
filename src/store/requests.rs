//! What came in over HTTP: who sent which content under which id. Reserved before it is published, so that of two with the
//! same id one is known to be the first, whichever process took them.

mod postgres;
mod sqlite;
mod together;

pub use together::Together;

use std::time::Duration;

use async_trait::async_trait;

use super::{Store, StoreError};

/// One request, as its sender names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRequest {
    /// CloudEvents `id`.
    pub id: String,
    /// CloudEvents `source`.
    pub source: String,
    pub principal: String,
    /// SHA-256 of all that makes it this request, hexadecimal.
    pub digest: String,
}

/// What is known of an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// It is this request's now.
    New,
    /// The same principal sent the same before.
    Again {
        /// Whether it is known to be published. If not, whoever reserved it may have died: it is to be published again, which
        /// does no harm, because equal ids are one event.
        published: bool,
    },
    /// Somebody sent something else under this id.
    Conflict,
}

/// A request that was reserved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownRequest {
    pub source: String,
    /// Milliseconds since the Unix epoch, by the database's clock.
    pub created_ms: i64,
}

/// The table of requests, in the same database as everything else.
#[async_trait]
pub trait Requests: Store {
    /// Reserves all of them or, where one is a conflict, none; what is known of each, in their order. Of two with one id the
    /// first is the first. A reservation that nobody waits for any more may still be made.
    async fn reserve_all(&self, requests: &[NewRequest]) -> Result<Vec<Reserved>, StoreError>;

    /// The same, but a conflict is nothing to the others.
    async fn reserve_each(&self, requests: &[NewRequest]) -> Result<Vec<Reserved>, StoreError>;

    /// Notes that they are published.
    async fn published(&self, requests: &[NewRequest]) -> Result<(), StoreError>;

    /// The principal's request of this id, of this source if one is given; the newest if there are several.
    async fn request(
        &self,
        id: &str,
        source: Option<&str>,
        principal: &str,
    ) -> Result<Option<KnownRequest>, StoreError>;

    /// Deletes at most `limit` requests older than this, oldest first, and says how many. Their ids are free again then.
    async fn purge_requests(&self, older_than: Duration, limit: u32) -> Result<u64, StoreError>;
}

fn reserved(request: &NewRequest, principal: &str, digest: &str, published: bool) -> Reserved {
    let same = *principal == request.principal && *digest == request.digest;
    if same { Reserved::Again { published } } else { Reserved::Conflict }
}

fn vanished(request: &NewRequest) -> StoreError {
    StoreError::Conflict(format!("request {} vanished while it was read", request.id))
}
