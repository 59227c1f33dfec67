//! Rows of the drill's registry, changed behind everybody's back; each harm in a key of its own.

use std::collections::BTreeMap;

use coafi_chaos::reconcile::{Harm, Row};
use coafi_chaos::run::Aftermath;
use coafi_chaos::world::REGISTRY;
use serde_json::Value;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

const DATA: &str = "SELECT data FROM registry_history WHERE registry = $1 AND event_id = $2 AND version = $3";
const AGAIN: &str = "
    INSERT INTO registry_history (registry, entry, version, data, utids, updated_by, source, event_id)
    SELECT registry, entry, version + 1, $4, utids, updated_by, source, event_id
    FROM registry_history WHERE registry = $1 AND event_id = $2 AND version = $3";
const BY_ANOTHER: &str = "
    UPDATE registry_history SET data = $4, event_id = $5 WHERE registry = $1 AND event_id = $2 AND version = $3";
const AWAY: &str = "DELETE FROM registry_history WHERE registry = $1 AND event_id = $2 AND version = $3";

pub(super) fn plant(run: &Aftermath) -> Vec<(Harm, String)> {
    // The two newest rows of each key.
    let mut keys: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    run.evidence.rows.iter().for_each(|row| keys.entry(&row.key).or_default().push(row));
    let mut newest = keys.into_values().filter_map(|mut rows| {
        rows.sort_by_key(|row| row.version);
        Some([rows[rows.len().checked_sub(2)?], rows[rows.len() - 1]])
    });
    let mut next = || newest.next().expect("three keys with two rows");
    let ([_, of_old_owner], swapped, [_, gone]) = (next(), next(), next());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut database = PgConnection::connect(&run.world.postgres).await.unwrap();
        let mut harms = write_of_an_old_owner(&mut database, of_old_owner).await;
        harms.push(swap(&mut database, swapped).await);
        harms.push(take_away(&mut database, gone).await);
        harms
    })
}

/// The row once more, written by an owner that had been succeeded by then.
async fn write_of_an_old_owner(database: &mut PgConnection, row: &Row) -> Vec<(Harm, String)> {
    let mut data = data(database, row).await;
    (data["epoch"], data["count"]) = ((row.epoch - 1).into(), (row.count + 1).into());
    let bound = sqlx::query(AGAIN).bind(REGISTRY).bind(&row.cause).bind(row.version).bind(data.to_string());
    assert_eq!(bound.execute(database).await.unwrap().rows_affected(), 1, "{row:?}");
    let named = format!("{} version {} by {}", row.key, row.version + 1, row.cause);
    vec![(Harm::OldEpochWrites, named.clone()), (Harm::DoubledEffects, named)]
}

/// Each of the two is of the other's event.
async fn swap(database: &mut PgConnection, rows: [&Row; 2]) -> (Harm, String) {
    let [earlier, later] = rows;
    for (row, other) in [(earlier, later), (later, earlier)] {
        let mut data = data(database, row).await;
        data["sequence"] = other.sequence.into();
        let bound = sqlx::query(BY_ANOTHER).bind(REGISTRY).bind(&row.cause).bind(row.version);
        let bound = bound.bind(data.to_string()).bind(&other.cause);
        assert_eq!(bound.execute(&mut *database).await.unwrap().rows_affected(), 1, "{row:?}");
    }
    (Harm::Reordered, format!("rows of {}: {} ", earlier.key, earlier.cause))
}

async fn take_away(database: &mut PgConnection, row: &Row) -> (Harm, String) {
    let bound = sqlx::query(AWAY).bind(REGISTRY).bind(&row.cause).bind(row.version);
    assert_eq!(bound.execute(database).await.unwrap().rows_affected(), 1, "{row:?}");
    (Harm::EffectsMissing, format!(" {} (", row.cause))
}

async fn data(database: &mut PgConnection, row: &Row) -> Value {
    let bound = sqlx::query_scalar(DATA).bind(REGISTRY).bind(&row.cause).bind(row.version);
    let data: String = bound.fetch_one(database).await.unwrap();
    serde_json::from_str(&data).unwrap()
}
