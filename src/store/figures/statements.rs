//! The same statements over both databases, which differ in how they keep times and in their pools only.

/// `$since`, `$until`: the second and third parameter, milliseconds, as `inbox.created_at` has times.
macro_rules! over {
    ($store:ty, $readers:ident, $since:literal, $until:literal) => {
        const _: () = {
            use async_trait::async_trait;

            use crate::store::StoreError;
            use crate::store::figures::{Figures, Period, RunsOfStatus};

            const HANDLED: &str = concat!(
                "SELECT handler, count(*) FROM inbox WHERE consumer_group = $1 AND created_at >= ",
                $since,
                " AND created_at < ",
                $until,
                " GROUP BY handler ORDER BY handler LIMIT $4",
            );
            const RUNS: &str = "SELECT workflow, status, count(*) FROM workflow_run \
                 WHERE consumer_group = $1 AND updated_at >= $2 AND updated_at < $3 \
                 GROUP BY workflow, status ORDER BY workflow, status LIMIT $4";

            #[async_trait]
            impl Figures for $store {
                async fn handled(
                    &self,
                    group: &str,
                    period: Period,
                    limit: u32,
                ) -> Result<Vec<(String, i64)>, StoreError> {
                    let select = sqlx::query_as(HANDLED).bind(group).bind(period.since_ms).bind(period.until_ms);
                    let select = select.bind(i64::from(limit)).fetch_all(&self.$readers).await;
                    select.map_err(|error| self.errors.map(&error))
                }

                async fn runs_by_status(
                    &self,
                    group: &str,
                    period: Period,
                    limit: u32,
                ) -> Result<Vec<RunsOfStatus>, StoreError> {
                    let select = sqlx::query_as(RUNS).bind(group).bind(period.since_ms).bind(period.until_ms);
                    let select = select.bind(i64::from(limit)).fetch_all(&self.$readers).await;
                    let rows: Vec<(String, String, i64)> = select.map_err(|error| self.errors.map(&error))?;
                    let of = |(workflow, status, runs)| RunsOfStatus { workflow, status, runs };
                    Ok(rows.into_iter().map(of).collect())
                }
            }
        };
    };
}

over!(crate::store::sqlite::Sqlite, readers, "$2 / 1000", "$3 / 1000");
over!(crate::store::postgres::Postgres, pool, "to_timestamp($2::int8 / 1000.0)", "to_timestamp($3::int8 / 1000.0)");
