//! The judgement over bad input: every record in exactly one place, with one final outcome, and whatever stands behind it
//! handled.

use crate::journal::Outcome;
use crate::topic::{Read, Record};
use crate::world::World;

/// Where a record must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Processed,
    Duplicate,
    Unprocessed,
    /// With this class.
    DeadLetter(&'static str),
}

impl Place {
    const fn outcome(self) -> &'static str {
        match self {
            Self::Processed => "processed",
            Self::Duplicate => "duplicate",
            Self::Unprocessed => "unprocessed",
            Self::DeadLetter(_) => "dead_lettered",
        }
    }

    const fn class(self) -> Option<&'static str> {
        match self {
            Self::DeadLetter(class) => Some(class),
            Self::Processed | Self::Duplicate | Self::Unprocessed => None,
        }
    }
}

pub(crate) struct Case {
    pub(crate) what: &'static str,
    pub(crate) record: Record,
    pub(crate) place: Place,
}

/// Sends every case with a good event of the same key behind it, has them handled, and judges.
pub(crate) fn check(world: &World, cases: Vec<Case>) {
    let mut sent = Vec::new();
    for case in cases {
        let key = case.record.key.clone();
        let good = Record { key, ..world.push("behind") };
        let (at, behind) = (world.send(&case.record), world.send(&good));
        sent.push((at, case));
        sent.push((behind, Case { what: "the good one behind it", record: good, place: Place::Processed }));
    }
    world.consume();
    let (outcomes, dead, unprocessed) = (world.outcomes(), world.dead_letters(), world.unprocessed());
    for (offset, case) in &sent {
        let Case { what, place, record } = case;
        let about: Vec<&Outcome> =
            outcomes.iter().filter(|o| o.topic == world.topic && o.offset == *offset && o.is_final()).collect();
        let [outcome] = about[..] else { panic!("{what}: one final outcome: {about:?}") };
        assert_eq!(
            (&*outcome.outcome, outcome.error_class.as_deref()),
            (place.outcome(), place.class()),
            "{what}: {outcome:?}"
        );
        let (dead, unprocessed) = (copies(&dead, *offset), copies(&unprocessed, *offset));
        let counts = match place {
            Place::DeadLetter(_) => (1, 0),
            Place::Unprocessed => (0, 1),
            Place::Processed | Place::Duplicate => (0, 0),
        };
        assert_eq!((dead.len(), unprocessed.len()), counts, "{what}: copies");
        for copy in dead.into_iter().chain(unprocessed) {
            is_as_it_came(what, record, copy);
        }
    }
    assert_eq!(dead.len() + unprocessed.len(), sent.iter().filter(|(_, case)| leaves(case.place)).count());
}

fn leaves(place: Place) -> bool {
    matches!(place, Place::DeadLetter(_) | Place::Unprocessed)
}

fn copies(all: &[Read], offset: i64) -> Vec<&Record> {
    let origin = offset.to_string();
    let of = all.iter().filter(|read| read.record.header("coafi-origin-offset") == Some(&*origin));
    of.map(|read| &read.record).collect()
}

/// Key and value to the byte, and every header that it came with.
fn is_as_it_came(what: &str, record: &Record, copy: &Record) {
    assert_eq!(copy.key, record.key, "{what}: key");
    assert!(copy.value == record.value, "{what}: its value is not as it came; headers: {:?}", copy.headers);
    for header in record.headers.iter().filter(|(name, _)| !name.starts_with("coafi-")) {
        assert!(copy.headers.contains(header), "{what}: {header:?} is missing");
    }
}
