//! A short run of `make chaos` against a stack of its own: whatever kills, freezes and restarts do, nothing may be lost,
//! doubled or reordered. `make chaos` does the same for longer, with every kind of fault.

use std::time::Duration;

use coafi_chaos::plan::Kind;
use coafi_chaos::run::{Options, run};
use coafi_chaos::summary::Summary;
use coafi_chaos::world::Delivery;

/// Any seed must do; this one is as good as another, and its four kinds fit into the time.
const SEED: u64 = 20;
/// Long enough for each kind of fault once, and for what comes of it.
const LENGTH: Duration = Duration::from_secs(40);

/// A single broker sometimes drops the markers of transactions that it was committing when it was stopped (see
/// docs/reliability.md): such a run says nothing about the replicas, and is made again.
const MAX_RUNS: usize = 3;

#[test]
fn nothing_is_lost_doubled_or_reordered_by_kills_freezes_and_restarts() {
    let kinds = [Kind::Kill, Kind::Terminate, Kind::Freeze, Kind::BrokerRestart];
    let summary = (0..MAX_RUNS).map(|_| short_run(&kinds)).find(|summary| summary.dropped_markers == 0);
    let summary = summary.expect("a broker that ends its transactions");
    println!("{}", summary.json());
    assert!(summary.is_clean(), "{}\n{}", summary.json(), summary.findings());
    assert_eq!(summary.report.resolved(), summary.report.sent);
    for kind in kinds {
        assert!(summary.faults.iter().any(|fault| fault.kind == kind), "no {}: {:?}", kind.name(), summary.faults);
    }
}

fn short_run(kinds: &[Kind]) -> Summary {
    let directory = tempfile::tempdir().unwrap();
    let options = Options {
        binary: env!("CARGO_BIN_EXE_coafi").into(),
        previous: None,
        directory: directory.path().to_owned(),
        seed: SEED,
        length: LENGTH,
        delivery: Delivery::Transactional,
        brokers: 1,
        replicas: 3,
        // What a machine that compiles beside it can do without effort.
        events_per_second: 100,
        kinds: kinds.to_vec(),
        settings: Vec::new(),
        verbose: false,
    };
    run(&options).unwrap()
}
