//! What handlers wrote: the history of the drill's registry.

use anyhow::{Context as _, Result};
use serde::Deserialize;
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;

use crate::reconcile::Row;
use crate::world::REGISTRY;

/// What the handler puts into an entry.
#[derive(Deserialize)]
struct Data {
    key: String,
    sequence: i64,
    count: i64,
    partition: i32,
    epoch: i64,
}

pub(super) fn read(postgres: &str) -> Result<Vec<Row>> {
    let options: PgConnectOptions = postgres.parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let rows: Vec<(i64, String, String)> = runtime.block_on(async {
        let mut connection = options.connect().await?;
        // Of two rows of one cause the later is the one too many; a table alone gives no order, new rows may fill old space.
        sqlx::query_as(
            "SELECT version, data, event_id FROM registry_history WHERE registry = $1 ORDER BY entry, version",
        )
        .bind(REGISTRY)
        .fetch_all(&mut connection)
        .await
    })?;
    let row = |(version, data, cause): (i64, String, String)| {
        let Data { key, sequence, count, partition, epoch } =
            serde_json::from_str(&data).with_context(|| data.clone())?;
        Ok(Row { key, version, cause, sequence, count, partition, epoch })
    };
    rows.into_iter().map(row).collect()
}
