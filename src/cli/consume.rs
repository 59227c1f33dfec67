//! `coafi consume`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::serving::{Database, Started, serve};
use super::{Context, Exit, Failure};
use crate::app::{self, Backing, Consumer, ConsumerParts};
use crate::config;
use crate::kafka::{Delivery, Status, Watch};
use crate::runtime::{Events, Hangup, Shutdown, Tasks};
use crate::schema::registry;
use crate::telemetry::Telemetry;

/// How often an idle replica is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Handle events: one replica of the consumer group.
///
/// Runs until SIGTERM or SIGINT, then finishes what it has begun within kafka.drain.timeout. Start as many replicas as the
/// topics have partitions; on one machine each needs its own --slot and http.listen.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  coafi consume\n  coafi consume --exit-when-idle 5s --output json\n  \
                        COAFI__HTTP__LISTEN=0.0.0.0:8090 coafi consume --slot b\n\n\
                        Exit codes: 0 ended in good order (SIGTERM, or nothing left with --exit-when-idle), 1 it failed for good,\n\
                        2 the command line, the configuration or the routes are wrong. What is away at its start is waited for.")]
pub(super) struct Consume {
    /// End, with a summary, once nothing has been left to do for this long.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    exit_when_idle: Option<Duration>,
    /// The stable half of transactional.id; by default kafka.slot.
    #[arg(long)]
    slot: Option<String>,
    /// The consumer group; by default kafka.group_id.
    #[arg(long)]
    group: Option<String>,
}

/// The JSON of `coafi consume`.
#[derive(Debug, Serialize)]
struct Ended {
    events: Events,
    lag: u64,
    seconds: f64,
}

impl Consume {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let telemetry = context.start_telemetry()?;
        let shutdown = Shutdown::install().map_err(|error| Failure::failed(error.to_string()))?;
        let stop = shutdown.token();
        let started = Instant::now();
        let status = shutdown.watch(self.consume(context, &telemetry, stop)).await;
        flush(context, telemetry).await;
        let Some(status) = status? else { return Ok(Exit::Ok) };
        let ended = Ended {
            events: app::events(&status.counts),
            lag: status.lag().map_or(0, |lag| u64::try_from(lag).unwrap_or(0)),
            seconds: started.elapsed().as_secs_f64(),
        };
        context.output().show(&ended, |ended| super::dev::events_table(&ended.events))?;
        Ok(Exit::Ok)
    }

    /// `None` if it was stopped before it could start.
    async fn consume(
        self,
        context: &Context,
        telemetry: &Telemetry,
        stop: CancellationToken,
    ) -> Result<Option<Status>, Failure> {
        let (settings, places) = (context.settings(), context.places());
        // The pages are there before the replica, and end after it has drained: who waits for a database is alive, and would only
        // begin again.
        let serving = CancellationToken::new();
        let mut tasks = Tasks::new(serving.clone());
        let (replica, database) = (Started::default(), Database::default());
        let registry = registry::Client::new(places.registry.clone()).map_err(anyhow::Error::new)?;
        serve(&mut tasks, &settings.http, &replica, &database, registry, telemetry.metrics()).await?;
        let Some(backing) = Backing::open_when_there(settings, &places, &stop).await? else { return Ok(None) };
        database.get_or_init(|| Arc::clone(&backing.requests));
        let delivery = match settings.kafka.delivery {
            config::Delivery::Transactional => Delivery::Transactional,
            config::Delivery::AtLeastOnce => Delivery::AtLeastOnce,
        };
        let parts = ConsumerParts {
            settings,
            places: &places,
            backing: &backing,
            group: self.group.unwrap_or_else(|| settings.kafka.group_id.clone()),
            slot: self.slot.unwrap_or_else(|| settings.kafka.slot()),
            delivery,
            publishes_status: true,
            runs_workflows: true,
            tally: None,
            metrics: Some(telemetry.metrics()),
            otel: context.exports_spans(),
            replay: None,
            hangup: Hangup::install().map_err(|error| Failure::failed(error.to_string()))?,
        };
        let Some(consumer) = Consumer::start(parts, &stop).await? else { return Ok(None) };
        let watch = replica.get_or_init(|| consumer.watch()).clone();
        if let Some(idle) = self.exit_when_idle {
            tasks.spawn("the idle watch", stop_when_idle(watch, idle, stop.clone(), serving.clone()));
        }
        let pages = tasks.join();
        tokio::pin!(pages);
        let consuming = consumer.run(stop.clone());
        tokio::pin!(consuming);
        let status = tokio::select! {
            status = &mut consuming => status,
            // Only a failure ends the pages this early: drain, then say so.
            failed = &mut pages => {
                stop.cancel();
                consuming.await?;
                failed.map_err(|error| Failure::failed(error.to_string()).because(error))?;
                return Ok(None);
            }
        };
        serving.cancel();
        pages.await.map_err(|error| Failure::failed(error.to_string()).because(error))?;
        Ok(Some(status?))
    }
}

/// Cancels `stop` once a member of the group has had nothing to do for `idle`.
async fn stop_when_idle(
    watch: Watch,
    idle: Duration,
    stop: CancellationToken,
    end: CancellationToken,
) -> Result<(), std::convert::Infallible> {
    let mut ticks = tokio::time::interval(LOOK_INTERVAL);
    let (mut since, mut polled) = (Instant::now(), 0);
    while !end.is_cancelled() && !stop.is_cancelled() {
        tokio::select! {
            _ = ticks.tick() => {}
            () = end.cancelled() => {}
        }
        let status = watch.status();
        let busy = !status.is_ready() || status.settling || status.lag() != Some(0) || status.counts.polled != polled;
        if busy {
            (since, polled) = (Instant::now(), status.counts.polled);
        } else if since.elapsed() >= idle {
            stop.cancel();
        }
    }
    // The other tasks end with the replica, not with this one.
    end.cancelled().await;
    Ok(())
}

/// Sends what telemetry still holds; a collector that is away is no reason to fail.
pub(super) async fn flush(context: &Context, telemetry: Telemetry) {
    if let Ok(Err(error)) = tokio::task::spawn_blocking(move || telemetry.shut_down()).await {
        context.output().remark(&error.to_string());
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    config::parse_duration(text).ok_or_else(|| "allowed: a duration such as 500ms, 5s or 1m".to_owned())
}
