//! The database's claim on partitions, asked for between assignment and the first record (I4).

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::store::{Fence, Store};

/// How long the database may take; then the assignment asks again.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(5);

/// Called on the lookup thread, which may block.
pub trait Claims: Send + 'static {
    /// One fence per partition (topic, partition, lowest acceptable epoch), each above every earlier one.
    ///
    /// # Errors
    /// What went wrong, for people; the call is made again until it succeeds or the assignment is gone.
    fn claim(&self, group: &str, partitions: &[(String, i32, i64)]) -> Result<Vec<Fence>, String>;
}

/// Claims in a [`Store`].
pub struct StoreClaims {
    pub store: Arc<dyn Store>,
    pub runtime: Handle,
}

impl Claims for StoreClaims {
    fn claim(&self, group: &str, partitions: &[(String, i32, i64)]) -> Result<Vec<Fence>, String> {
        let claim = self.store.claim(group, partitions);
        self.runtime
            .block_on(async { tokio::time::timeout(CLAIM_TIMEOUT, claim).await })
            .map_err(|_| format!("the database does not answer within {CLAIM_TIMEOUT:?}"))?
            .map_err(|error| error.to_string())
    }
}

impl std::fmt::Debug for StoreClaims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreClaims").field("store", &self.store).finish_non_exhaustive()
    }
}
