//! One trace from whoever wrote the event to its end.

use crate::topic::Record;
use crate::world::World;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[test]
fn a_trace_goes_on_in_the_outcome_and_in_the_dead_letter() {
    let world = World::new("trace");
    let traceparent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let plain = world.push("a").with("traceparent", &*traceparent);
    let extension = world.push("b").with("ce_traceparent", &*traceparent);
    let bad = Record { value: Some(Vec::new()), ..world.push("c").with("traceparent", &*traceparent) };
    let untraced = world.push("d");
    for record in [&plain, &extension, &bad, &untraced] {
        world.send(record);
    }
    world.consume();
    for record in [&plain, &extension, &bad] {
        assert_eq!(trace_of(world.end_of(record).traceparent.as_deref()), Some(TRACE), "{:?}", record.headers);
    }
    assert_eq!(world.end_of(&untraced).traceparent, None);
    let dead = world.dead_letters();
    assert_eq!(dead.len(), 1);
    assert_eq!(trace_of(dead[0].record.header("traceparent")), Some(TRACE));
}

/// W3C: `00-<trace>-<span>-<flags>`.
fn trace_of(traceparent: Option<&str>) -> Option<&str> {
    traceparent?.split('-').nth(1)
}
