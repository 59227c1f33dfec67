//! Routes that are switched off and on.

use crate::process::eventually;
use crate::topic::Record;
use crate::world::World;

#[test]
fn events_of_a_disabled_route_wait_in_their_topic_until_it_is_enabled() {
    let world = World::new("disabled");
    let disabled = "handler: git_ref\n    enabled: false";
    world.change_routes(|routes| routes.replace("handler: git_ref", disabled));
    let waiting = ["a", "b", "a"].map(|key| world.send(&world.push(key)));
    let other = crate::event::attributes("no.route", "/product");
    world.send(&Record { value: Some(b"{}".to_vec()), ..other });
    let mut replica = world.replica();
    replica.until_ready();
    let ends = world.until_ended(1);
    assert_eq!((ends.len(), &*ends[0].outcome), (1, "unprocessed"), "others go on: {ends:?}");
    eventually("the lag says how many wait", || world.lag() == 4);
    replica.terminate();
    assert_eq!(replica.ended().code(), Some(0));

    world.change_routes(|routes| routes.replace(disabled, "handler: git_ref"));
    let summary = world.consume();
    assert_eq!((&summary["events"]["processed"], &summary["events"]["unprocessed"]), (&3.into(), &0.into()));
    let offsets: Vec<i64> = world.outcomes().iter().filter(|o| o.outcome == "processed").map(|o| o.offset).collect();
    assert_eq!(offsets.len(), 3);
    assert!(waiting.iter().all(|offset| offsets.contains(offset)));
}
