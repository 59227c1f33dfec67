//! Every harm is found where it is planted, and nowhere else.

use super::*;

const TOPIC: &str = "drill.steps";
const RETRY: &str = "drill.steps.retry.1s";

fn place(topic: &str, offset: i64) -> Place {
    Place { topic: topic.to_owned(), partition: 0, offset }
}

fn sent(offset: i64, ending: Ending) -> Sent {
    let last = usize::try_from(offset).unwrap();
    // The last one repeats the first.
    let id = if ending == Ending::Duplicate { "e-0".to_owned() } else { format!("e-{last}") };
    let processed = ending == Ending::Processed;
    let (emits, writes) = (processed, processed);
    Sent {
        place: place(TOPIC, offset),
        id: Some(id),
        key: "k".into(),
        sequence: offset,
        ending,
        class: Some(if ending == Ending::DeadLettered { "permanent" } else { "transient" }),
        policy: Policy { in_place: 3, attempts: 3, overflow: Overflow::RetryTopic },
        emits,
        writes,
    }
}

/// Six records: two processed at once, one after a retry in place, one through the retry topic, one dead-lettered, one
/// duplicate.
fn clean() -> Evidence {
    let outcome = |at: i64, place: Place, kind: &str, attempt: i32| Outcome {
        at: (0, at),
        place,
        kind: kind.to_owned(),
        class: (kind.starts_with("retried") || kind == "dead_lettered").then(|| "transient".to_owned()),
        attempt,
        moved: false,
        epoch: 1 + at / 4,
        started_ms: Some(1_000 * at),
        ended_ms: 1_000 * at + 500,
    };
    let derived = |n: i64, offset| Derived {
        place: place("drill.derived", n),
        cause: format!("e-{offset}"),
        key: "k".into(),
        sequence: offset,
    };
    let row = |n: i64, offset| Row {
        key: "k".into(),
        version: n,
        cause: format!("e-{offset}"),
        sequence: offset,
        count: n,
        partition: 0,
        epoch: n,
    };
    let forwarded = |to, topic: &str, origin| Forwarded { to, place: place(topic, 0), origin: place(TOPIC, origin) };
    let receipt = |topic: &str, offsets: std::ops::Range<i64>, ids: &[&str]| Receipt {
        topic: topic.to_owned(),
        partition: 0,
        offsets,
        ids: ids.iter().map(|&id| id.to_owned()).collect(),
    };
    let position =
        |topic: &str, committed| Position { topic: topic.to_owned(), partition: 0, committed, resolved: Vec::new() };
    use Ending::{DeadLettered, Duplicate, Processed};
    Evidence {
        stored: (0..6).map(|offset| Stored { place: place(TOPIC, offset), sequence: offset }).collect(),
        left: Vec::new(),
        snapshots: Vec::new(),
        sent: [Processed, Processed, Processed, Processed, DeadLettered, Duplicate]
            .into_iter()
            .zip(0..)
            .map(|(ending, offset)| sent(offset, ending))
            .collect(),
        outcomes: vec![
            outcome(0, place(TOPIC, 0), "processed", 1),
            outcome(1, place(TOPIC, 1), "processed", 1),
            outcome(2, place(TOPIC, 2), "retried_in_place", 1),
            outcome(3, place(TOPIC, 2), "processed", 2),
            outcome(4, place(TOPIC, 3), "retried_topic", 1),
            Outcome { class: Some("permanent".into()), ..outcome(5, place(TOPIC, 4), "dead_lettered", 1) },
            outcome(6, place(TOPIC, 5), "duplicate", 0),
            outcome(7, place(RETRY, 0), "processed", 2),
        ],
        receipts: vec![
            receipt(TOPIC, 0..4, &["e-0", "e-1", "e-2", "e-3"]),
            receipt(TOPIC, 3..9, &["e-3", "e-4", "e-0"]),
            receipt(RETRY, 0..1, &["e-3"]),
        ],
        forwarded: vec![forwarded(Forward::Retry, RETRY, 3), forwarded(Forward::DeadLetter, "drill.steps.dlq", 4)],
        derived: vec![derived(0, 0), derived(1, 1), derived(2, 2), derived(3, 3)],
        rows: vec![row(1, 0), row(2, 1), row(3, 2), row(4, 3)],
        positions: vec![position(TOPIC, 6), position(RETRY, 1)],
    }
}

/// Plants a harm, and looks that it is found with what it implies, and nothing else.
fn check(plant: impl FnOnce(&mut Evidence), expected: &[Harm]) {
    let mut evidence = clean();
    plant(&mut evidence);
    let report = reconcile(&evidence);
    let found: Vec<Harm> = Harm::ALL.into_iter().filter(|harm| report.count(*harm) > 0).collect();
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(found, expected, "{:#?}", report.examples);
    assert!(expected.iter().all(|harm| report.count(*harm) == 1), "{:#?}", report.examples);
}

#[test]
fn clean_data_has_no_harm() {
    check(|_| {}, &[]);
    let report = reconcile(&clean());
    assert_eq!((report.sent, report.resolved(), report.doubled()), (6, 6, 0));
    assert_eq!((report.ended[&Ending::Processed], report.ended[&Ending::Duplicate]), (4, 1));
    assert_eq!((report.overflowed, report.halted, report.crashed), (1, 0, 0));
}

#[test]
fn a_record_without_an_end_is_lost() {
    let unresolved = |evidence: &mut Evidence| {
        evidence.outcomes.retain(|outcome| outcome.place != place(TOPIC, 4));
        evidence.forwarded.retain(|one| one.to != Forward::DeadLetter);
    };
    // The position stands before it.
    check(
        |evidence| {
            unresolved(evidence);
            evidence.positions[0].committed = 4;
        },
        &[Harm::Lost],
    );
    check(unresolved, &[Harm::Lost, Harm::PassedUnresolved]);
    // The offset map names it as resolved.
    check(
        |evidence| {
            unresolved(evidence);
            evidence.positions[0].committed = 4;
            evidence.positions[0].resolved.extend(Some(4..6));
        },
        &[Harm::Lost, Harm::PassedUnresolved],
    );
    // It halted, and nobody acted.
    check(
        |evidence| {
            evidence.sent[4].policy.overflow = Overflow::Halt;
            evidence.outcomes[5].kind = "halted".into();
            evidence.forwarded.pop();
            evidence.positions[0].committed = 4;
        },
        &[Harm::Lost],
    );
}

#[test]
fn a_position_that_passed_too_early_is_remembered() {
    // At that time the first two had been seen to leave, and a third one above them.
    let snapshot = |committed, resolved: Option<std::ops::Range<i64>>| {
        move |evidence: &mut Evidence| {
            evidence.left = [0, 1, 3].map(|offset| place(TOPIC, offset)).to_vec();
            let position =
                Position { topic: TOPIC.to_owned(), partition: 0, committed, resolved: resolved.into_iter().collect() };
            evidence.snapshots = vec![Snapshot { positions: vec![position], left: 3 }];
        }
    };
    check(snapshot(2, None), &[]);
    check(snapshot(2, Some(3..4)), &[]);
    check(snapshot(3, None), &[Harm::PassedUnresolved]);
    check(snapshot(1, Some(2..4)), &[Harm::PassedUnresolved]);
}

#[test]
fn a_record_that_never_arrives_in_its_retry_topic_is_lost() {
    let harms = [Harm::Lost, Harm::ForwardsMissing, Harm::DoubledDerived, Harm::DoubledEffects];
    check(|evidence| drop(evidence.forwarded.remove(0)), &harms);
}

#[test]
fn a_dead_letter_that_is_not_there_is_missed() {
    check(|evidence| drop(evidence.forwarded.pop()), &[Harm::ForwardsMissing]);
}

#[test]
fn of_a_repeated_end_only_the_last_one_leads_anywhere() {
    let taken_back = |evidence: &mut Evidence| {
        let (kind, class) = ("dead_lettered".to_owned(), Some("transient".to_owned()));
        let first = Outcome { at: (0, -1), kind, class, attempt: 3, ..evidence.outcomes[1].clone() };
        evidence.outcomes.push(first);
    };
    let mut evidence = clean();
    taken_back(&mut evidence);
    assert_eq!(reconcile(&evidence).count(Harm::ForwardsMissing), 0);
    evidence.outcomes[1].at = (0, -2);
    assert_eq!(reconcile(&evidence).count(Harm::ForwardsMissing), 1);
}

#[test]
fn repetitions_are_found() {
    check(
        |evidence| {
            let again = Outcome { at: (0, 8), epoch: 3, ..evidence.outcomes[1].clone() };
            evidence.outcomes.push(again);
        },
        &[Harm::DoubledOutcomes],
    );
    check(
        |evidence| {
            let again = Derived { place: place("drill.derived", 9), ..evidence.derived[1].clone() };
            evidence.derived.push(again);
        },
        &[Harm::DoubledDerived],
    );
    check(
        |evidence| {
            let again = Row { version: 5, count: 5, epoch: 5, ..evidence.rows[1].clone() };
            evidence.rows.push(again);
        },
        &[Harm::DoubledEffects],
    );
    check(
        |evidence| {
            let again = Forwarded { place: place("drill.steps.dlq", 7), ..evidence.forwarded[1].clone() };
            evidence.forwarded.push(again);
        },
        &[Harm::DoubledForwards],
    );
}

#[test]
fn a_duplicate_that_is_handled_is_doubled() {
    let plant = |evidence: &mut Evidence| {
        (evidence.outcomes[6].kind, evidence.outcomes[6].attempt) = ("processed".into(), 1);
    };
    check(plant, &[Harm::DoubledOutcomes, Harm::WrongEnd]);
}

/// The producer was told of the second of two copies only.
fn with_a_copy_before(evidence: &mut Evidence, first: &str, second: &str) {
    let (told, before) = (place(TOPIC, 1), place(TOPIC, -1));
    evidence.stored.push(Stored { place: before.clone(), sequence: 1 });
    let said = evidence.outcomes.iter().position(|outcome| outcome.place == told).unwrap();
    let copy = Outcome { at: (0, -1), place: before, kind: first.to_owned(), ..evidence.outcomes[said].clone() };
    evidence.outcomes[said].kind = second.to_owned();
    evidence.outcomes.push(copy);
    evidence.receipts[0].offsets.start = -1;
}

#[test]
fn the_first_of_two_copies_is_the_event_whichever_was_acknowledged() {
    check(|evidence| with_a_copy_before(evidence, "processed", "duplicate"), &[]);
    let mut evidence = clean();
    with_a_copy_before(&mut evidence, "processed", "duplicate");
    let report = reconcile(&evidence);
    assert_eq!((report.sent, report.unacknowledged, report.lost_by_broker), (7, 1, 0));
    // Handled twice, or never, or not at all.
    let mut evidence = clean();
    with_a_copy_before(&mut evidence, "processed", "processed");
    let report = reconcile(&evidence);
    assert_eq!((report.count(Harm::DoubledOutcomes), report.count(Harm::WrongEnd)), (1, 1));
    let mut evidence = clean();
    with_a_copy_before(&mut evidence, "duplicate", "duplicate");
    assert_eq!(reconcile(&evidence).count(Harm::WrongEnd), 1);
    let mut evidence = clean();
    with_a_copy_before(&mut evidence, "processed", "duplicate");
    evidence.outcomes.pop();
    assert_eq!(reconcile(&evidence).count(Harm::Lost), 1);
}

#[test]
fn a_record_of_unknown_place_is_where_the_topic_has_it() {
    let unknown = |evidence: &mut Evidence| evidence.sent[1].place.offset = -1001;
    check(unknown, &[]);
    let mut evidence = clean();
    unknown(&mut evidence);
    let report = reconcile(&evidence);
    assert_eq!((report.unacknowledged, report.lost_by_broker), (0, 0));
    evidence.stored.retain(|stored| stored.place != place(TOPIC, 1));
    assert_eq!(reconcile(&evidence).lost_by_broker, 1);
}

#[test]
fn what_the_broker_has_lost_is_told_from_what_was_not_handled() {
    let mut evidence = clean();
    evidence.stored.remove(4);
    evidence.outcomes.retain(|outcome| outcome.place != place(TOPIC, 4));
    let report = reconcile(&evidence);
    assert_eq!((report.lost_by_broker, report.count(Harm::Lost)), (1, 1));
}

#[test]
fn each_witness_of_order_is_heard() {
    check(|evidence| evidence.derived[1].place.offset = 9, &[Harm::Reordered]);
    check(
        |evidence| {
            let rows = &mut evidence.rows;
            (rows[0].version, rows[1].version) = (2, 1);
            (rows[0].count, rows[1].count) = (2, 1);
            (rows[0].epoch, rows[1].epoch) = (2, 1);
        },
        &[Harm::Reordered],
    );
    check(|evidence| evidence.outcomes[1].started_ms = Some(400), &[Harm::Reordered]);
    // Its first run was before all that is known of the one before it, which was repeated too.
    check(
        |evidence| {
            let again = Outcome { at: (0, 9), ..evidence.outcomes[1].clone() };
            evidence.outcomes.push(again);
            evidence.outcomes[1].started_ms = Some(400);
        },
        &[Harm::DoubledOutcomes],
    );
    // What has left its place may be overtaken.
    check(|evidence| evidence.derived[3].place.offset = -1, &[]);
}

#[test]
fn effects_that_are_missing_are_missed() {
    check(|evidence| drop(evidence.derived.remove(1)), &[Harm::DerivedMissing]);
    check(
        |evidence| {
            evidence.rows.pop();
        },
        &[Harm::EffectsMissing],
    );
}

#[test]
fn attempt_numbers_are_followed() {
    check(|evidence| evidence.outcomes[3].attempt = 1, &[Harm::AttemptWentBack]);
    check(|evidence| evidence.outcomes[7].attempt = 1, &[Harm::AttemptWentBack]);
    check(|evidence| evidence.outcomes[7].attempt = 3, &[Harm::AttemptSkipped]);
    check(|evidence| evidence.sent[2].policy.attempts = 1, &[Harm::AttemptsBeyondPolicy]);
    // A parked record that has to move says so after the attempt that it made.
    check(
        |evidence| {
            let parked =
                Outcome { at: (0, 3), kind: "retried_in_place".into(), epoch: 2, ..evidence.outcomes[4].clone() };
            evidence.outcomes[4].moved = true;
            evidence.outcomes[3].at = (1, 3);
            evidence.outcomes.push(parked);
        },
        &[],
    );
}

#[test]
fn what_an_old_owner_writes_is_found() {
    check(|evidence| evidence.rows[2].epoch = 1, &[Harm::OldEpochWrites]);
    // On a state that did not know of the write before it.
    check(|evidence| evidence.rows[3].count = 3, &[Harm::OldEpochWrites]);
}

#[test]
fn another_partition_has_epochs_of_its_own() {
    check(|evidence| (evidence.rows[3].partition, evidence.rows[3].epoch) = (6, 1), &[]);
    // Where it stood before the topic grew is no matter for its order, by which witness ever.
    let moved = |evidence: &mut Evidence| {
        for offset in [1, 2] {
            let from = place(TOPIC, offset);
            let to = Place { partition: -1, offset: 100 - offset, ..from.clone() };
            evidence.outcomes.iter_mut().filter(|said| said.place == from).for_each(|said| said.place = to.clone());
            evidence.sent[usize::try_from(offset).unwrap()].place = to.clone();
            evidence.stored[usize::try_from(offset).unwrap()].place = to;
        }
        let ids = vec!["e-2".to_owned(), "e-1".to_owned()];
        evidence.receipts.push(Receipt { topic: TOPIC.to_owned(), partition: -1, offsets: 98..100, ids });
    };
    check(moved, &[]);
    check(
        |evidence| {
            moved(evidence);
            evidence.outcomes[3].started_ms = Some(600);
        },
        &[Harm::Reordered],
    );
}

#[test]
fn what_no_receipt_covers_is_a_gap() {
    check(|evidence| drop(evidence.receipts.remove(2)), &[Harm::AuditGaps]);
    check(|evidence| evidence.receipts[0].offsets.start = 1, &[Harm::AuditGaps]);
    // Its offset is covered, and its id is not named.
    check(|evidence| drop(evidence.receipts[0].ids.remove(1)), &[Harm::AuditGaps]);
}

#[test]
fn an_end_that_is_not_deserved_is_wrong() {
    let plant = |evidence: &mut Evidence| evidence.sent[4].ending = Ending::Processed;
    check(plant, &[Harm::WrongEnd]);
    // A deploy loop condemned it.
    check(|evidence| evidence.outcomes[5].class = Some("crash".into()), &[Harm::WrongEnd]);
    // It killed its processes, and was dead-lettered for something else.
    check(|evidence| evidence.sent[4].class = Some("crash"), &[Harm::WrongEnd]);
}

#[test]
fn what_there_is_no_room_for_goes_the_way_of_its_policy() {
    let overflow =
        |record: usize, policy| move |evidence: &mut Evidence| evidence.sent[record].policy.overflow = policy;
    // The fourth record went to the retry topic after its first attempt of three.
    check(overflow(3, Overflow::RetryTopic), &[]);
    check(overflow(3, Overflow::DeadLetter), &[Harm::WrongEnd]);
    check(overflow(3, Overflow::Halt), &[Harm::WrongEnd]);
    let dead_letter = |policy| {
        move |evidence: &mut Evidence| {
            overflow(4, policy)(evidence);
            (evidence.sent[4].ending, evidence.sent[4].class) = (Ending::Processed, Some("transient"));
            evidence.outcomes[5].class = Some("transient".into());
        }
    };
    check(dead_letter(Overflow::DeadLetter), &[]);
    let mut evidence = clean();
    dead_letter(Overflow::Halt)(&mut evidence);
    assert!(reconcile(&evidence).count(Harm::WrongEnd) > 0);
}

#[test]
fn a_key_that_halts_comes_to_its_end_once_somebody_has_acted() {
    let halted = |policy| {
        move |evidence: &mut Evidence| {
            evidence.sent[2].policy.overflow = policy;
            // It was parked after its first attempt, and then there was no room for it.
            evidence.outcomes.push(Outcome { kind: "halted".into(), ..evidence.outcomes[2].clone() });
        }
    };
    check(halted(Overflow::Halt), &[]);
    let mut evidence = clean();
    halted(Overflow::Halt)(&mut evidence);
    assert_eq!(reconcile(&evidence).halted, 1);
    check(halted(Overflow::DeadLetter), &[Harm::WrongEnd]);
}

#[test]
fn a_look_that_saw_no_position_is_none() {
    let mut evidence = clean();
    let blind = Snapshot { positions: Vec::new(), left: 3 };
    evidence.snapshots = vec![blind.clone(), Snapshot { positions: evidence.positions.clone(), ..blind }];
    let (rows, outcomes) = (evidence.rows.len(), evidence.outcomes.len());
    let amounts = evidence.amounts();
    assert_eq!((amounts.snapshots, amounts.positions, amounts.rows, amounts.outcomes), (1, 2, rows, outcomes));
    assert_eq!(amounts.missing().count(), 0);
    evidence.snapshots.truncate(1);
    assert_eq!(evidence.amounts().missing().collect::<Vec<_>>(), ["snapshots"]);
}
