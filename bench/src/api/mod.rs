//! The HTTP API beside a bare axum handler that does nothing but publish, under the same load in the same run; webhooks at a
//! fixed rate; and from an accepted request to its committed outcome.

mod bare;
mod load;
mod setup;
mod trip;

pub(crate) use bare::serve as serve_bare;
pub(crate) use load::{Answered, Target};

use anyhow::Context as _;
use serde::Serialize;

use crate::process::Measured;
use crate::{Options, report};
use setup::Setup;

/// Connections that ask in turn, as fast as they are answered.
const CONNECTIONS: usize = 32;
const SECONDS: u64 = 8;
/// In turn, since the machine's other work comes and goes: the median counts. Odd.
const ROUNDS: usize = 3;
/// Events of one request.
const BATCH: u64 = 50;
/// Of webhooks, and for how long, in each round; the one with the median p99 counts.
const WEBHOOKS_PER_S: u64 = 500;
const WEBHOOK_SECONDS: u64 = 10;

/// One kind of request.
#[derive(Debug, Serialize)]
struct Row {
    name: &'static str,
    accepted_per_s: f64,
    raw_accepted_per_s: f64,
    ratio: f64,
    p50_ms: f64,
    p99_ms: f64,
    cpu_us_per_event: f64,
    raw_cpu_us_per_event: f64,
}

/// From when a request was accepted until its outcome can be read, and of webhooks until they are answered.
#[derive(Debug, Serialize)]
struct Waited {
    name: &'static str,
    events: u64,
    per_s: u64,
    mean_ms: f64,
    p50_ms: f64,
    p99_ms: f64,
    refused: u64,
}

impl Waited {
    fn of(name: &'static str, per_s: u64, answered: &Answered) -> Self {
        let (mean_ms, p50_ms, p99_ms) = (answered.mean_ms(), answered.percentile_ms(50), answered.percentile_ms(99));
        Self { name, events: answered.events(), per_s, mean_ms, p50_ms, p99_ms, refused: answered.refused }
    }
}

/// Measures and prints every row of the API.
pub(crate) fn measure(options: &Options, json: bool) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let setup = Setup::prepare(options)?;
    let (api, bare) = (setup.api()?, setup.bare()?);
    let mut rows = Vec::new();
    for (name, batch) in [("api", 1), ("api_batch", BATCH)] {
        let (mut ours, mut raws) = (Vec::new(), Vec::new());
        // Neither is measured with a broker, or a database, that has just begun and compiles what it runs.
        for served in [&api, &bare] {
            runtime.block_on(load::closed(&served.target, CONNECTIONS, batch, SECONDS))?;
        }
        for round in 1..=ROUNDS {
            for (of, served) in [(&mut ours, &api), (&mut raws, &bare)] {
                of.push(runtime.block_on(full(&served.target, &served.process, batch))?);
            }
            eprintln!(
                "{name}: round {round} of {ROUNDS}: {:.0}/s, raw {:.0}/s",
                ours[round - 1].answered.events_per_s(),
                raws[round - 1].answered.events_per_s()
            );
        }
        let (ours, raw) = (median(ours), median(raws));
        rows.push(Row {
            name,
            accepted_per_s: ours.answered.events_per_s(),
            raw_accepted_per_s: raw.answered.events_per_s(),
            ratio: ours.answered.events_per_s() / raw.answered.events_per_s(),
            p50_ms: ours.answered.percentile_ms(50),
            p99_ms: ours.answered.percentile_ms(99),
            cpu_us_per_event: ours.cpu_us,
            raw_cpu_us_per_event: raw.cpu_us,
        });
    }
    drop(bare);
    let mut hooks = Vec::new();
    for round in 1..=ROUNDS {
        let answered = load::open(&api.target, load::Kind::Webhook, WEBHOOKS_PER_S, WEBHOOK_SECONDS);
        hooks.push(Waited::of("webhook", WEBHOOKS_PER_S, &runtime.block_on(answered)?));
        eprintln!("webhook: round {round} of {ROUNDS}: p99 {:.1} ms", hooks[round - 1].p99_ms);
    }
    hooks.sort_by(|one, other| one.p99_ms.total_cmp(&other.p99_ms));
    let mut waited = vec![hooks.swap_remove(ROUNDS / 2)];
    for (name, delivery) in [("trip", "transactional"), ("trip_at_least_once", "at_least_once")] {
        let answered = trip::measure(&setup, &runtime, &api.target, delivery).context(name)?;
        waited.push(Waited::of(name, trip::PER_S, &answered));
    }
    if json {
        report::lines(&rows)?;
        return report::lines(&waited);
    }
    report::table(
        &["", "accepted/s", "raw accepted/s", "ratio", "p50 ms", "p99 ms", "CPU µs/event", "raw"],
        rows.iter().map(|row| {
            vec![
                row.name.to_owned(),
                format!("{:.0}", row.accepted_per_s),
                format!("{:.0}", row.raw_accepted_per_s),
                format!("{:.2}", row.ratio),
                format!("{:.1}", row.p50_ms),
                format!("{:.1}", row.p99_ms),
                format!("{:.1}", row.cpu_us_per_event),
                format!("{:.1}", row.raw_cpu_us_per_event),
            ]
        }),
    );
    report::table(
        &["", "events", "at /s", "mean ms", "p50 ms", "p99 ms", "refused"],
        waited.iter().map(|row| {
            vec![
                row.name.to_owned(),
                row.events.to_string(),
                row.per_s.to_string(),
                format!("{:.1}", row.mean_ms),
                format!("{:.1}", row.p50_ms),
                format!("{:.1}", row.p99_ms),
                row.refused.to_string(),
            ]
        }),
    );
    Ok(())
}

struct Full {
    answered: Answered,
    cpu_us: f64,
}

async fn full(target: &Target, process: &Measured, batch: u64) -> anyhow::Result<Full> {
    let before = process.usage()?.cpu;
    let answered = load::closed(target, CONNECTIONS, batch, SECONDS).await?;
    let cpu = process.usage()?.cpu.saturating_sub(before);
    Ok(Full { cpu_us: cpu.as_secs_f64() * 1e6 / answered.events() as f64, answered })
}

fn median(mut rounds: Vec<Full>) -> Full {
    rounds.sort_by(|a, b| a.answered.events_per_s().total_cmp(&b.answered.events_per_s()));
    rounds.swap_remove(rounds.len() / 2)
}
