//! How long the end of a replica is felt, by whoever reads committed data. The bounds are those of docs/operations.md, with
//! the settings that are the default; a program of its own, so that no other test runs beside it.

use std::time::Duration;

use coafi_chaos::recovery::{Bench, End};
use coafi_chaos::run::Options;
use coafi_chaos::world::Delivery;

/// A static member that is back takes over from itself.
const WITH_ITS_SLOT: Duration = Duration::from_secs(5);
/// The others wait for the end of its session (6 s), and readers for that of its transaction: its time-out (10 s) and the
/// coordinator's next look (every 10 s).
const WITHOUT: Duration = Duration::from_secs(25);
/// A replica that has ended in good order is waited for by nobody.
const IN_ORDER: Duration = Duration::from_secs(5);

#[test]
fn the_end_of_a_replica_is_felt_no_longer_than_promised() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options {
        binary: env!("CARGO_BIN_EXE_coafi").into(),
        previous: None,
        directory: directory.path().to_owned(),
        seed: 1,
        length: Duration::ZERO,
        delivery: Delivery::Transactional,
        brokers: 1,
        replicas: 2,
        events_per_second: 100,
        kinds: Vec::new(),
        settings: Vec::new(),
        verbose: false,
    };
    let mut bench = Bench::start(&options).unwrap();
    let mut felt = Vec::new();
    for (how, bound) in [
        (End::Terminated, IN_ORDER),
        (End::KilledAndBack, WITH_ITS_SLOT),
        (End::KilledForGood, WITHOUT),
        (End::KilledAndBack, WITH_ITS_SLOT),
    ] {
        let took = bench.end(how).unwrap();
        println!("{how:?}: felt for {} ms, allowed {} ms", took.as_millis(), bound.as_millis());
        felt.push((how, took, bound));
    }
    bench.finish().unwrap();
    for (how, took, bound) in felt {
        assert!(took <= bound, "{how:?} was felt for {took:?}; allowed: {bound:?}");
    }
}
