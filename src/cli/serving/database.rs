//! The database, of which `/ready` tells from before it is open.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;

use crate::engine::Dependency;
use crate::http::Condition;
use crate::store::Requests;

/// The table of requests, once the database answered.
pub(in crate::cli) type Database = Arc<OnceLock<Arc<dyn Requests>>>;

pub(super) struct DatabaseAnswers(pub(super) Database);

#[async_trait]
impl Condition for DatabaseAnswers {
    fn name(&self) -> &'static str {
        Dependency::DATABASE
    }

    async fn check(&self) -> Result<(), String> {
        let requests = self.0.get().ok_or("starting: waiting for the database")?;
        requests.ping().await.map_err(|error| error.to_string())
    }
}
