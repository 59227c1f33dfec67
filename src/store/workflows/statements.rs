//! The same statements over both databases, which differ in their clocks and their pools only.

/// A row of `workflow_run`, but for its group.
pub(super) type RunRow =
    (String, String, i32, String, String, String, String, i64, String, Option<String>, Option<String>, i64, i64);

/// A row of `workflow_step`, but for its run.
pub(super) type StepRow = (String, i32, String, String, Option<String>, i64, Option<i64>);

pub(super) fn run_of(row: RunRow) -> super::StoredRun {
    let (
        workflow_id,
        workflow,
        version,
        digest,
        definition,
        status,
        state,
        seq,
        correlation_id,
        tenant_id,
        utids,
        c,
        u,
    ) = row;
    let version = version.unsigned_abs();
    let run = super::RunRecord {
        workflow_id,
        workflow,
        version,
        digest,
        definition,
        status,
        state,
        correlation_id,
        tenant_id,
        utids,
    };
    super::StoredRun { run, seq, created_ms: c, updated_ms: u }
}

pub(super) fn step_of((step, attempt, kind, status, fault, started_ms, ended_ms): StepRow) -> super::StoredStep {
    let attempt = attempt.unsigned_abs();
    super::StoredStep { step, attempt, kind, status, fault, started_ms, ended_ms }
}

pub(in crate::store) fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// `$now`: milliseconds since the Unix epoch in the database's SQL.
macro_rules! over {
    ($module:ident, $store:ty, $driver:ty, $writer:ident, $readers:ident, $now:literal) => {
        mod $module {
            use std::time::Duration;

            use async_trait::async_trait;

            use super::{RunRow, StepRow, millis, run_of, step_of};
            use crate::store::StoreError;
            use crate::store::workflows::{
                CancelAsked, DueTimer, RunChange, RunFilter, StoredRun, StoredStep, WaitingStep, Workflows,
            };

            const COLUMNS: &str = concat!(
                "SELECT workflow_id, workflow, version, digest, definition, status, state, seq, correlation_id, ",
                "tenant_id, utids, created_at, updated_at FROM workflow_run WHERE consumer_group = $1 ",
            );
            const INSERT_RUN: &str = concat!(
                "INSERT INTO workflow_run (consumer_group, workflow_id, workflow, version, digest, definition, status, ",
                "state, seq, correlation_id, tenant_id, utids, created_at, updated_at) ",
                "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1, $9, $10, $11, ", $now, ", ", $now, ") ON CONFLICT DO NOTHING",
            );
            const UPDATE_RUN: &str = concat!(
                "UPDATE workflow_run SET status = $3, state = $4, seq = seq + 1, updated_at = ", $now,
                " WHERE consumer_group = $1 AND workflow_id = $2 AND seq = $5",
            );
            const UPSERT_STEP: &str = concat!(
                "INSERT INTO workflow_step (consumer_group, workflow_id, step, attempt, kind, status, fault, started_at, ",
                "ended_at) VALUES ($1, $2, $3, $4, $5, $6, $7, ", $now, ", CASE WHEN $8 THEN ", $now, " END) ",
                "ON CONFLICT (consumer_group, workflow_id, step, attempt) DO UPDATE ",
                "SET status = excluded.status, fault = excluded.fault, ended_at = excluded.ended_at",
            );
            const INSERT_TIMER: &str = concat!(
                "INSERT INTO workflow_timer (consumer_group, event_id, workflow_id, step, attempt, due_at) ",
                "VALUES ($1, $2, $3, $4, $5, ", $now, " + $6) ON CONFLICT DO NOTHING",
            );
            const DELETE_WAITS: &str = "DELETE FROM workflow_wait WHERE consumer_group = $1 AND workflow_id = $2";
            const INSERT_WAIT: &str = concat!(
                "INSERT INTO workflow_wait (consumer_group, workflow_id, step, attempt, event_type, correlate, value) ",
                "VALUES ($1, $2, $3, $4, $5, $6, $7)",
            );
            const CORRELATIONS: &str = concat!(
                "SELECT DISTINCT correlate FROM workflow_wait WHERE consumer_group = $1 AND event_type = $2 ",
                "ORDER BY correlate LIMIT $3",
            );
            const WAITING: &str = concat!(
                "SELECT run.workflow, run.workflow_id, wait.step, wait.attempt FROM workflow_wait AS wait ",
                "JOIN workflow_run AS run USING (consumer_group, workflow_id) ",
                "WHERE consumer_group = $1 AND event_type = $2 AND correlate = $3 AND value = $4 ",
                "ORDER BY workflow_id, step LIMIT $5",
            );
            const STEPS: &str = concat!(
                "SELECT step, attempt, kind, status, fault, started_at, ended_at FROM workflow_step ",
                "WHERE consumer_group = $1 AND workflow_id = $2 ORDER BY started_at, step, attempt",
            );
            const LEASE: &str = concat!(
                "UPDATE workflow_timer SET leased_until = ", $now, " + $3 WHERE consumer_group = $1 AND event_id IN (",
                "SELECT event_id FROM workflow_timer WHERE consumer_group = $1 AND due_at <= ", $now,
                " AND leased_until <= ", $now, " ORDER BY due_at LIMIT $2) AND leased_until <= ", $now,
                " RETURNING event_id, workflow_id, step, attempt",
            );
            const DELETE_TIMER: &str = "DELETE FROM workflow_timer WHERE consumer_group = $1 AND event_id = $2";
            const ASK_TO_CANCEL: &str = concat!(
                "INSERT INTO workflow_cancel (consumer_group, workflow_id, asked_by, reason, asked_at) ",
                "SELECT consumer_group, workflow_id, $3, $4, ", $now, " FROM workflow_run ",
                "WHERE consumer_group = $1 AND workflow_id = $2 AND status IN ('running', 'compensating') ",
                "ON CONFLICT (consumer_group, workflow_id) DO UPDATE ",
                "SET asked_by = excluded.asked_by, reason = excluded.reason, asked_at = excluded.asked_at",
            );
            const CANCEL_ASKED: &str =
                "SELECT asked_by, reason FROM workflow_cancel WHERE consumer_group = $1 AND workflow_id = $2";
            const DELETE_CANCEL: &str = concat!(
                "DELETE FROM workflow_cancel WHERE consumer_group = $1 AND workflow_id = $2 AND EXISTS (SELECT 1 ",
                "FROM workflow_run WHERE consumer_group = $1 AND workflow_id = $2 AND status <> $3)",
            );
            const PURGE: &str = concat!(
                "DELETE FROM workflow_run WHERE (consumer_group, workflow_id) IN (",
                "SELECT consumer_group, workflow_id FROM workflow_run WHERE status NOT IN ('running', 'compensating') AND updated_at < ", $now,
                " - $1 ORDER BY updated_at LIMIT $2)",
            );

            /// Writes the change; false if the run is not as it was read.
            pub(in crate::store) async fn write(
                transaction: &mut sqlx::Transaction<'static, $driver>,
                group: &str,
                change: &RunChange,
            ) -> Result<bool, sqlx::Error> {
                let run = &change.run;
                if run.status != "running" {
                    // Before it is written: what was wanted of the status that it had is over.
                    let delete = sqlx::query(DELETE_CANCEL).bind(group).bind(&run.workflow_id).bind(&run.status);
                    delete.execute(&mut **transaction).await?;
                }
                let written = if change.expected_seq == 0 {
                    let insert = sqlx::query(INSERT_RUN).bind(group).bind(&run.workflow_id).bind(&run.workflow);
                    let insert = insert.bind(i32::try_from(run.version).unwrap_or(i32::MAX)).bind(&run.digest);
                    let insert = insert.bind(&run.definition).bind(&run.status).bind(&run.state);
                    insert.bind(&run.correlation_id).bind(&run.tenant_id).bind(&run.utids).execute(&mut **transaction).await?
                } else {
                    let update = sqlx::query(UPDATE_RUN).bind(group).bind(&run.workflow_id).bind(&run.status);
                    update.bind(&run.state).bind(change.expected_seq).execute(&mut **transaction).await?
                };
                if written.rows_affected() != 1 {
                    return Ok(false);
                }
                for step in &change.steps {
                    let upsert = sqlx::query(UPSERT_STEP).bind(group).bind(&run.workflow_id).bind(&step.step);
                    let upsert = upsert.bind(i32::try_from(step.attempt).unwrap_or(i32::MAX)).bind(&step.kind);
                    let upsert = upsert.bind(&step.status).bind(&step.fault).bind(step.ended);
                    upsert.execute(&mut **transaction).await?;
                }
                for timer in &change.timers {
                    let insert = sqlx::query(INSERT_TIMER).bind(group).bind(&timer.event_id).bind(&run.workflow_id);
                    let insert = insert.bind(&timer.step).bind(i32::try_from(timer.attempt).unwrap_or(i32::MAX));
                    insert.bind(millis(timer.delay)).execute(&mut **transaction).await?;
                }
                if let Some(waits) = &change.waits {
                    sqlx::query(DELETE_WAITS).bind(group).bind(&run.workflow_id).execute(&mut **transaction).await?;
                    for wait in waits {
                        let insert = sqlx::query(INSERT_WAIT).bind(group).bind(&run.workflow_id).bind(&wait.step);
                        let insert = insert.bind(i32::try_from(wait.attempt).unwrap_or(i32::MAX)).bind(&wait.event_type);
                        insert.bind(&wait.correlate).bind(&wait.value).execute(&mut **transaction).await?;
                    }
                }
                for (child, asked) in &change.cancels {
                    let ask = sqlx::query(ASK_TO_CANCEL).bind(group).bind(child).bind(&asked.by).bind(&asked.reason);
                    ask.execute(&mut **transaction).await?;
                }
                Ok(true)
            }

            #[async_trait]
            impl Workflows for $store {
                async fn workflow_run(&self, group: &str, id: &str) -> Result<Option<StoredRun>, StoreError> {
                    let statement = sqlx::AssertSqlSafe(format!("{COLUMNS} AND workflow_id = $2"));
                    let row: Option<RunRow> = sqlx::query_as(statement)
                        .bind(group)
                        .bind(id)
                        .fetch_optional(&self.$readers)
                        .await
                        .map_err(|e| self.errors.map(&e))?;
                    Ok(row.map(run_of))
                }

                async fn workflow_runs(
                    &self,
                    group: &str,
                    filter: &RunFilter,
                    limit: u32,
                ) -> Result<Vec<StoredRun>, StoreError> {
                    let statement = sqlx::AssertSqlSafe(format!(
                        "{COLUMNS} AND ($2 = '' OR workflow = $2) AND ($3 = '' OR status = $3) \
                         ORDER BY created_at DESC, workflow_id LIMIT $4"
                    ));
                    let rows: Vec<RunRow> = sqlx::query_as(statement)
                        .bind(group)
                        .bind(filter.workflow.as_deref().unwrap_or_default())
                        .bind(filter.status.as_deref().unwrap_or_default())
                        .bind(i64::from(limit))
                        .fetch_all(&self.$readers)
                        .await
                        .map_err(|e| self.errors.map(&e))?;
                    Ok(rows.into_iter().map(run_of).collect())
                }

                async fn workflow_steps(&self, group: &str, id: &str) -> Result<Vec<StoredStep>, StoreError> {
                    let rows: Vec<StepRow> = sqlx::query_as(STEPS)
                        .bind(group)
                        .bind(id)
                        .fetch_all(&self.$readers)
                        .await
                        .map_err(|e| self.errors.map(&e))?;
                    Ok(rows.into_iter().map(step_of).collect())
                }

                async fn lease_timers(
                    &self,
                    group: &str,
                    limit: u32,
                    lease: Duration,
                ) -> Result<Vec<DueTimer>, StoreError> {
                    let rows: Vec<(String, String, String, i32)> = sqlx::query_as(LEASE)
                        .bind(group)
                        .bind(i64::from(limit))
                        .bind(millis(lease))
                        .fetch_all(&self.$writer)
                        .await
                        .map_err(|e| self.errors.map(&e))?;
                    let due = |(event_id, workflow_id, step, attempt): (String, String, String, i32)| DueTimer {
                        event_id,
                        workflow_id,
                        step,
                        attempt: attempt.unsigned_abs(),
                    };
                    Ok(rows.into_iter().map(due).collect())
                }

                async fn delete_timers(&self, group: &str, event_ids: &[String]) -> Result<(), StoreError> {
                    for event_id in event_ids {
                        let delete = sqlx::query(DELETE_TIMER).bind(group).bind(event_id).execute(&self.$writer).await;
                        delete.map_err(|e| self.errors.map(&e))?;
                    }
                    Ok(())
                }

                async fn awaited_correlations(
                    &self,
                    group: &str,
                    event_type: &str,
                    limit: u32,
                ) -> Result<Vec<String>, StoreError> {
                    let select = sqlx::query_scalar(CORRELATIONS).bind(group).bind(event_type).bind(i64::from(limit));
                    select.fetch_all(&self.$readers).await.map_err(|e| self.errors.map(&e))
                }

                async fn waiting_steps(
                    &self,
                    group: &str,
                    event_type: &str,
                    correlate: &str,
                    value: &str,
                    limit: u32,
                ) -> Result<Vec<WaitingStep>, StoreError> {
                    let select = sqlx::query_as(WAITING).bind(group).bind(event_type).bind(correlate).bind(value);
                    let select = select.bind(i64::from(limit)).fetch_all(&self.$readers).await;
                    let rows: Vec<(String, String, String, i32)> = select.map_err(|e| self.errors.map(&e))?;
                    let waiting = |(workflow, workflow_id, step, attempt): (String, String, String, i32)| WaitingStep {
                        workflow,
                        workflow_id,
                        step,
                        attempt: attempt.unsigned_abs(),
                    };
                    Ok(rows.into_iter().map(waiting).collect())
                }

                async fn ask_to_cancel(&self, group: &str, id: &str, asked: &CancelAsked) -> Result<(), StoreError> {
                    let ask = sqlx::query(ASK_TO_CANCEL).bind(group).bind(id).bind(&asked.by).bind(&asked.reason);
                    ask.execute(&self.$writer).await.map(drop).map_err(|e| self.errors.map(&e))
                }

                async fn cancel_asked(&self, group: &str, id: &str) -> Result<Option<CancelAsked>, StoreError> {
                    let select = sqlx::query_as(CANCEL_ASKED).bind(group).bind(id).fetch_optional(&self.$readers).await;
                    let row: Option<(String, String)> = select.map_err(|e| self.errors.map(&e))?;
                    Ok(row.map(|(by, reason)| CancelAsked { by, reason }))
                }

                async fn purge_workflow_runs(&self, older_than: Duration, limit: u32) -> Result<u64, StoreError> {
                    let purge = sqlx::query(PURGE).bind(millis(older_than)).bind(i64::from(limit));
                    let purged = purge.execute(&self.$writer).await.map_err(|e| self.errors.map(&e))?;
                    Ok(purged.rows_affected())
                }
            }
        }
        pub(in crate::store) use $module::write as $module;
    };
}

over!(
    sqlite,
    crate::store::sqlite::Sqlite,
    sqlx::Sqlite,
    writer,
    readers,
    "CAST(unixepoch('subsec') * 1000 AS INTEGER)"
);
over!(
    postgres,
    crate::store::postgres::Postgres,
    sqlx::Postgres,
    pool,
    pool,
    "(extract(epoch FROM clock_timestamp()) * 1000)::int8"
);
