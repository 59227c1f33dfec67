//! The metadata of committed offsets: what a partition's next owner, whichever version it is, goes on from (I1).

use coafi::engine::offset_map::{Attempted, MAX_METADATA_BYTES, OffsetMap, Suspect, newer_version};
use coafi::event::{NextOffset, Offset};

use super::{lines, versions};

const IDENTITY: u64 = 0x0123_4567_89ab_cdef;
const POSITION: NextOffset = NextOffset(1_000_000);

/// Every shape that a map can have.
fn maps() -> Vec<(&'static str, OffsetMap)> {
    let base = || OffsetMap { claim: 41, transaction: 7, dirty: 1, ..OffsetMap::default() };
    let at = |delta: i64| Offset(POSITION.0 + delta);
    let every_second = (1..400).step_by(2).map(|delta| at(delta).0..at(delta).0 + 1);
    vec![
        ("empty", OffsetMap::default()),
        ("clean", OffsetMap { dirty: 0, ..base() }),
        ("dirty", OffsetMap { dirty: 3, ..base() }),
        ("runs", OffsetMap { resolved: vec![at(1).0..at(4).0, at(9).0..at(10).0, at(500).0..at(70_000).0], ..base() }),
        ("bitmap", OffsetMap { resolved: every_second.collect(), ..base() }),
        (
            "attempts",
            OffsetMap {
                attempts: vec![
                    // As release 0.1.0 wrote it, and with the fingerprint of a list.
                    Attempted { offset: at(0), attempts: 3, done: 0b101, list: 0 },
                    Attempted { offset: at(300), attempts: 200, done: u16::MAX, list: u16::MAX },
                ],
                resolved: std::iter::once(at(1).0..at(300).0).collect(),
                ..base()
            },
        ),
        (
            "suspects",
            OffsetMap {
                running: Some(at(0)),
                suspects: vec![Suspect { offset: at(0), deaths: 2 }, Suspect { offset: at(3), deaths: 1 }],
                ..base()
            },
        ),
        (
            "everything",
            OffsetMap {
                claim: i64::MAX,
                transaction: u64::MAX,
                dirty: u32::MAX,
                running: Some(at(5)),
                suspects: vec![Suspect { offset: at(5), deaths: 1 }],
                attempts: vec![Attempted { offset: at(5), attempts: 1, done: 0, list: 0 }],
                resolved: std::iter::once(at(1).0..at(3).0).collect(),
            },
        ),
    ]
}

#[test]
fn maps_of_every_version_are_read_to_the_same_value() {
    for version in versions() {
        let golden = lines(&version.join("offset_maps.txt"));
        assert!(!golden.is_empty());
        for (name, metadata) in golden {
            let (_, expected) = maps().into_iter().find(|(known, _)| *known == name).expect(&name);
            let read = OffsetMap::decode(&metadata, IDENTITY, POSITION);
            assert_eq!(read, Some(expected), "{}: {name}", version.display());
        }
    }
}

/// An older version takes a map that it does not know for foreign, and does again what the map says is done. So the form
/// changes in two steps: a version that reads the new one, and after it a version that writes it.
#[test]
fn maps_are_written_as_the_last_version_reads_them() {
    let golden = lines(&versions().last().unwrap().join("offset_maps.txt"));
    let written: Vec<(String, String)> = maps()
        .into_iter()
        .map(|(name, map)| (name.to_owned(), map.encode(IDENTITY, POSITION, MAX_METADATA_BYTES)))
        .collect();
    assert_eq!(written, golden);
}

#[test]
fn a_map_of_a_newer_version_is_told_from_a_foreign_one() {
    let ours = maps()[3].1.encode(IDENTITY, POSITION, MAX_METADATA_BYTES);
    let newer = ours.replace("coafi1:", "coafi2:");
    assert_eq!(OffsetMap::decode(&newer, IDENTITY, POSITION), None, "it cannot be read");
    assert_eq!(newer_version(&newer, IDENTITY, POSITION), Some(2), "and must not be ignored");
    assert_eq!(newer_version(&ours, IDENTITY, POSITION), None);
    assert_eq!(newer_version(&newer, IDENTITY + 1, POSITION), None, "of another cluster or topic");
    assert_eq!(newer_version(&newer, IDENTITY, NextOffset(5)), None, "of a position that was reset since");
    for foreign in ["", "coafi2", "coafi2:", "coafi2:AAAA", "coafix:AAAA", "coafi-2:AAAA", "{\"coafi2:\":1}"] {
        assert_eq!(newer_version(foreign, IDENTITY, POSITION), None, "{foreign}");
    }
}
