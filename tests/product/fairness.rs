//! Somebody noisy beside somebody quiet: who is handled when, by the order in which handlers began, and no clock.

use serde_json::json;

use crate::event::attributes;
use crate::journal::Outcome;
use crate::topic::Record;
use crate::world::World;

/// One slot, and each record takes a transaction of the database.
const ROUTE: &str = "
  - name: drills
    match: {type: drill.step, topic: TOPIC}
    handler: drill
    concurrency: 1
    dependencies: [database]
";
/// By how much somebody noisy may raise the others' waiting.
const BOUND: usize = 2;
/// Events of the noisy one that a few turns more may be: a turn is as long as its records are slow, and that is measured.
const TURNS: usize = 20;
/// What is noisy has this waiting before the quiet ones send anything.
const BACKLOG: usize = 600;
const QUIET: usize = 40;

/// Events of a tenant under so many keys, in turn. The ids begin with the name.
fn events(name: &str, tenant: &str, keys: usize, count: usize) -> Vec<Record> {
    let of = |number: usize| {
        let key = format!("{name}-{}", number % keys);
        let data = json!({"key": key, "sequence": number, "action": "ok", "times": 0, "emit": false, "write": true});
        let record = attributes("drill.step", "/product").without("ce_id").without("content-type");
        let record = record.with("ce_id", format!("{name}-{number}")).with("content-type", "application/json");
        let record = record.with("ce_tenantid", tenant);
        Record { key: Some(key.into()), value: Some(data.to_string().into_bytes()), ..record }
    };
    (0..count).map(of).collect()
}

/// When the handlers of the events began whose ids begin with `name`, in milliseconds, sorted.
fn began(outcomes: &[Outcome], name: &str) -> Vec<i64> {
    let of = outcomes.iter().filter(|outcome| outcome.event_id.as_ref().is_some_and(|id| id.starts_with(name)));
    let mut began: Vec<i64> = of.map(|outcome| outcome.started_at.expect("a handler ran")).collect();
    began.sort_unstable();
    began
}

/// The quiet ones, who come last, wait for no more than twice what they would have alone, and the backlog mostly for them.
fn is_fair(world: &World, noisy: &[Record], quiet: &[Record]) {
    world.change_routes(|routes| routes + &ROUTE.replace("TOPIC", &world.topic));
    for event in noisy.iter().chain(quiet) {
        world.producer.hand_over(&world.topic, 0, event);
    }
    world.producer.flush();
    world.consume();

    let outcomes = world.outcomes();
    assert_eq!(outcomes.len(), noisy.len() + quiet.len());
    assert!(outcomes.iter().all(|outcome| outcome.outcome == "processed"), "{outcomes:?}");
    let (noisy_began, quiet_began) = (began(&outcomes, "noisy"), began(&outcomes, "quiet"));
    let (first, last) = (quiet_began[0], quiet_began[quiet.len() - 1]);
    let before = noisy_began.iter().filter(|began| **began < last).count();
    assert!(before < noisy.len() / 2, "{before} of {} noisy ones began before the last quiet one", noisy.len());
    // Alone they would have had the slot: what began meanwhile is what they waited for.
    let meanwhile = noisy_began.iter().filter(|began| (first..last).contains(*began)).count();
    let allowed = (BOUND - 1) * quiet.len() + TURNS;
    assert!(
        meanwhile <= allowed,
        "{meanwhile} noisy ones began while {} quiet ones did; allowed: {allowed}",
        quiet.len()
    );
}

#[test]
fn a_quiet_tenant_is_handled_while_a_noisy_ones_backlog_waits() {
    let (noisy, quiet) = (events("noisy", "noisy", 30, BACKLOG), events("quiet", "quiet", 2, QUIET));
    is_fair(&World::new("fair_tenants"), &noisy, &quiet);
}

#[test]
fn quiet_keys_are_handled_while_a_noisy_ones_backlog_waits() {
    let (noisy, quiet) = (events("noisy", "all", 1, BACKLOG), events("quiet", "all", 4, QUIET));
    is_fair(&World::new("fair_keys"), &noisy, &quiet);
}

/// A quota is a tenant's own: whoever sends more waits, and whoever does not is handled at once.
#[test]
fn a_tenant_is_held_to_its_rate_and_another_is_not() {
    const PER_SECOND: usize = 20;
    const BURST: usize = 5;
    let (noisy, quiet) = (events("noisy", "noisy", 30, 60), events("quiet", "quiet", 2, BURST));
    let world = World::new("tenant_rate");
    let quota = format!("    tenant: {{rate_limit: {{per_second: {PER_SECOND}, burst: {BURST}}}}}\n");
    let route = ROUTE.replace("TOPIC", &world.topic).replace("    concurrency: 1\n", &quota);
    world.change_routes(|routes| routes + &route);
    for event in noisy.iter().chain(&quiet) {
        world.producer.hand_over(&world.topic, 0, event);
    }
    world.producer.flush();
    world.consume();

    let outcomes = world.outcomes();
    assert_eq!(outcomes.len(), noisy.len() + quiet.len());
    let (noisy_began, quiet_began) = (began(&outcomes, "noisy"), began(&outcomes, "quiet"));
    let took = u128::try_from(noisy_began[noisy.len() - 1] - noisy_began[0]).unwrap();
    // A clock of milliseconds rounds each of the two.
    let least = ((noisy.len() - BURST) * 1_000 / PER_SECOND) as u128 - 2;
    assert!(took >= least, "{} events began within {took} ms; at least {least} are asked for", noisy.len());
    let before = noisy_began.iter().filter(|began| **began < quiet_began[quiet.len() - 1]).count();
    assert!(
        before < noisy.len() / 2,
        "{before} noisy ones began before the last quiet one, which was within its quota"
    );
}
