//! The same statements over both databases, which differ in their clocks, their locks and their pools only.

/// `$now`: milliseconds since the Unix epoch in the database's SQL. `$lock`: holds a text until the transaction ends, so that
/// two that begin a message of one group at once make one; SQLite's only writer needs none.
macro_rules! over {
    ($module:ident, $store:ty, $driver:ty, $writer:ident, $readers:ident, $now:literal, $lock:literal) => {
        mod $module {
            use std::time::Duration;

            use async_trait::async_trait;

            use crate::store::StoreError;
            use crate::store::notices::{DueNotices, NewNotice, NoticeGroup, Notices, Said};
            use crate::store::workflows::millis;

            const WAS_SAID: &str = concat!(
                "SELECT count(*) FROM notification_said WHERE consumer_group = $1 AND channel = $2 AND dedup_key = $3 ",
                "AND resolved = $4 AND until > ", $now,
            );
            const SAY: &str = concat!(
                "INSERT INTO notification_said (consumer_group, channel, dedup_key, resolved, until) ",
                "VALUES ($1, $2, $3, $4, ", $now, " + $5) ON CONFLICT (consumer_group, channel, dedup_key) DO UPDATE ",
                "SET resolved = excluded.resolved, until = excluded.until ",
                "WHERE notification_said.until <= ", $now, " OR notification_said.resolved <> excluded.resolved",
            );
            const JOIN: &str = concat!(
                "UPDATE notification_group SET members = members + 1 WHERE consumer_group = $1 AND delivery_id = (",
                "SELECT delivery_id FROM notification_group WHERE consumer_group = $1 AND channel = $2 AND group_key = $3 ",
                "AND due_at > ", $now, " AND members < $4 ORDER BY due_at DESC LIMIT 1) AND due_at > ", $now,
                " AND members < $4 RETURNING delivery_id, members",
            );
            const BEGIN: &str = concat!(
                "INSERT INTO notification_group (consumer_group, delivery_id, channel, group_key, correlation_id, members, ",
                "due_at) VALUES ($1, $2, $3, $4, $5, 1, ", $now, " + $6)",
            );
            const ADD: &str = "INSERT INTO notification_member (consumer_group, delivery_id, position, notification) \
                 VALUES ($1, $2, $3, $4)";
            const LEASE: &str = concat!(
                "UPDATE notification_group SET leased_until = ", $now, " + $3 WHERE consumer_group = $1 AND delivery_id IN (",
                "SELECT delivery_id FROM notification_group WHERE consumer_group = $1 AND due_at <= ", $now,
                " AND leased_until <= ", $now, " ORDER BY due_at LIMIT $2) AND leased_until <= ", $now,
                " RETURNING delivery_id, channel, group_key, correlation_id",
            );
            const MEMBERS: &str = "SELECT notification FROM notification_member \
                 WHERE consumer_group = $1 AND delivery_id = $2 ORDER BY position";
            const DELETE: &str = "DELETE FROM notification_group WHERE consumer_group = $1 AND delivery_id = $2";
            const PURGE: &str = concat!(
                "DELETE FROM notification_said WHERE (consumer_group, channel, dedup_key) IN (",
                "SELECT consumer_group, channel, dedup_key FROM notification_said WHERE until <= ", $now,
                " ORDER BY until LIMIT $1)",
            );

            type Writing = sqlx::Transaction<'static, $driver>;

            /// Writes the notice; false if the channel was told the same meanwhile.
            pub(in crate::store) async fn write(
                transaction: &mut Writing,
                group: &str,
                notice: &NewNotice,
            ) -> Result<bool, sqlx::Error> {
                if let Some((said, window)) = &notice.said {
                    let say = sqlx::query(SAY).bind(group).bind(&notice.channel).bind(&said.key);
                    let say = say.bind(i32::from(said.resolved)).bind(millis(*window));
                    if say.execute(&mut **transaction).await?.rows_affected() != 1 {
                        return Ok(false);
                    }
                }
                if let Some(waiting) = &notice.group {
                    join(transaction, group, &notice.channel, waiting).await?;
                }
                Ok(true)
            }

            async fn join(
                transaction: &mut Writing,
                group: &str,
                channel: &str,
                waiting: &NoticeGroup,
            ) -> Result<(), sqlx::Error> {
                let held = format!("notification {group} {channel} {}", waiting.key);
                sqlx::query($lock).bind(held).execute(&mut **transaction).await?;
                let members_max = i32::try_from(waiting.members_max).unwrap_or(i32::MAX);
                let join = sqlx::query_as(JOIN).bind(group).bind(channel).bind(&waiting.key).bind(members_max);
                let joined: Option<(String, i32)> = join.fetch_optional(&mut **transaction).await?;
                let (delivery_id, position) = match joined {
                    Some(joined) => joined,
                    None => {
                        let begin = sqlx::query(BEGIN).bind(group).bind(&waiting.delivery_id).bind(channel);
                        let begin = begin.bind(&waiting.key).bind(&waiting.correlation_id).bind(millis(waiting.wait));
                        begin.execute(&mut **transaction).await?;
                        (waiting.delivery_id.clone(), 1)
                    }
                };
                let add = sqlx::query(ADD).bind(group).bind(delivery_id).bind(position).bind(&waiting.notification);
                add.execute(&mut **transaction).await.map(drop)
            }

            #[async_trait]
            impl Notices for $store {
                async fn was_said(&self, group: &str, channel: &str, said: &Said) -> Result<bool, StoreError> {
                    let select = sqlx::query_scalar(WAS_SAID).bind(group).bind(channel).bind(&said.key);
                    let select = select.bind(i32::from(said.resolved)).fetch_one(&self.$readers).await;
                    let count: i64 = select.map_err(|e| self.errors.map(&e))?;
                    Ok(count > 0)
                }

                async fn lease_notices(
                    &self,
                    group: &str,
                    limit: u32,
                    lease: Duration,
                ) -> Result<Vec<DueNotices>, StoreError> {
                    let lease = sqlx::query_as(LEASE).bind(group).bind(i64::from(limit)).bind(millis(lease));
                    let rows: Vec<(String, String, String, String)> =
                        lease.fetch_all(&self.$writer).await.map_err(|e| self.errors.map(&e))?;
                    let mut due = Vec::with_capacity(rows.len());
                    for (delivery_id, channel, group_key, correlation_id) in rows {
                        let select = sqlx::query_scalar(MEMBERS).bind(group).bind(&delivery_id);
                        let notifications = select.fetch_all(&self.$readers).await.map_err(|e| self.errors.map(&e))?;
                        due.push(DueNotices { delivery_id, channel, group_key, correlation_id, notifications });
                    }
                    Ok(due)
                }

                async fn delete_notices(&self, group: &str, delivery_id: &str) -> Result<(), StoreError> {
                    let delete = sqlx::query(DELETE).bind(group).bind(delivery_id).execute(&self.$writer).await;
                    delete.map(drop).map_err(|e| self.errors.map(&e))
                }

                async fn purge_said(&self, limit: u32) -> Result<u64, StoreError> {
                    let purge = sqlx::query(PURGE).bind(i64::from(limit)).execute(&self.$writer).await;
                    Ok(purge.map_err(|e| self.errors.map(&e))?.rows_affected())
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
    "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
    "SELECT $1"
);
over!(
    postgres,
    crate::store::postgres::Postgres,
    sqlx::Postgres,
    pool,
    pool,
    "(extract(epoch FROM clock_timestamp()) * 1000)::int8",
    "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"
);
