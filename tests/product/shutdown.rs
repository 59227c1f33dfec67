//! SIGTERM.

use std::collections::BTreeSet;

use crate::process::{Process, eventually};
use crate::world::World;

const EVENTS: usize = 120;

#[test]
fn a_replica_that_is_told_to_stop_finishes_what_it_has_begun() {
    let world = World::new("shutdown");
    let sent: BTreeSet<i64> = (0..EVENTS).map(|n| world.send(&world.push(&format!("key-{n}")))).collect();
    // Slow enough that it cannot be through when the signal comes, nor when the time to drain is over.
    let slow = "\n    concurrency: 100\n    rate_limit: {per_second: 1, burst: 5}";
    world.change_routes(|routes| routes.replace("handler: git_ref", &format!("handler: git_ref{slow}")));
    let mut replica = Process::start(world.command(&["consume", "--output", "json"]));
    replica.until_ready();
    eventually("some events are handled", || replica.metric(r#"coafi_outcomes_total{outcome="processed"}"#) >= 5.0);
    replica.terminate();
    let ended = replica.ended();
    let summary = ended.json();

    let before = world.outcomes();
    assert_eq!(summary["events"]["processed"], before.len(), "{summary}");
    // From the committed position on, which is that of the first event that is left.
    let lag = summary["lag"].as_u64().and_then(|lag| usize::try_from(lag).ok()).unwrap();
    assert!((EVENTS - before.len()..=EVENTS).contains(&lag), "what is left is said: {summary}");
    assert!((5..EVENTS).contains(&before.len()), "{} of {EVENTS} were handled at the signal", before.len());
    world.change_routes(|routes| routes.replace(slow, ""));
    let summary = world.consume();
    let after = world.outcomes();
    assert_eq!(after.len(), EVENTS, "one outcome each, of one attempt each");
    assert!(after.iter().all(|outcome| outcome.outcome == "processed" && outcome.attempt == 1));
    assert_eq!(after.iter().map(|outcome| outcome.offset).collect::<BTreeSet<_>>(), sent);
    assert_eq!(summary["events"]["processed"], EVENTS - before.len(), "the next replica does the rest and no more");
}
