use super::*;

const T: TransactionId = TransactionId(1);

fn ranges(ends: &[(i64, i64)]) -> Vec<Range<i64>> {
    ends.iter().map(|(start, end)| *start..*end).collect()
}

fn tracker(offsets: &[i64]) -> Tracker<()> {
    let mut tracker = Tracker::new(NextOffset(offsets[0]), Vec::new());
    for offset in offsets {
        push(&mut tracker, *offset);
    }
    tracker
}

fn push(tracker: &mut Tracker<()>, offset: i64) -> u64 {
    let sequence = tracker.push(Entry {
        offset: Offset(offset),
        state: State::Waiting,
        bytes: 1,
        route: RouteId(0),
        lane: 0,
        tenant: 0,
        attempts: 0,
        audited: 0,
        inherited: 0,
        handlers: HandlerList::default(),
        done: 0,
        audited_done: 0,
        counted: false,
        placeless: false,
        payload: None,
    });
    tracker.start(sequence);
    sequence
}

fn resolve(tracker: &mut Tracker<()>, sequence: u64) {
    tracker.entry_mut(sequence).unwrap().state = State::Staged(T);
}

#[test]
fn commit_waits_for_the_lowest_unresolved_record() {
    let mut tracker = tracker(&[10, 11, 12, 13]);
    resolve(&mut tracker, 1);
    resolve(&mut tracker, 3);
    assert_eq!(tracker.map(T), (NextOffset(10), vec![11..12, 13..14], vec![]));
    assert_eq!(tracker.settle(T), (0, 0));
    resolve(&mut tracker, 0);
    assert_eq!(tracker.map(T), (NextOffset(12), ranges(&[(13, 14)]), vec![]));
    assert_eq!(tracker.settle(T), (2, 2));
    assert_eq!((tracker.low(), tracker.len()), (NextOffset(12), 2));
}

#[test]
fn gaps_join_runs_and_the_end_moves_the_position_over_markers() {
    let mut tracker = tracker(&[10, 12, 15, 20]);
    resolve(&mut tracker, 1);
    resolve(&mut tracker, 2);
    assert_eq!(tracker.map(T).1, ranges(&[(11, 16)]));
    resolve(&mut tracker, 0);
    resolve(&mut tracker, 3);
    assert_eq!(tracker.position(T), NextOffset(21));
    tracker.advance(NextOffset(22));
    assert_eq!(tracker.position(T), NextOffset(22));
}

#[test]
fn what_an_earlier_owner_resolved_stays_in_the_map() {
    let mut tracker = Tracker::new(NextOffset(10), vec![12..14, 20..30]);
    push(&mut tracker, 10);
    assert!(tracker.is_inherited(Offset(13)) && !tracker.is_inherited(Offset(14)));
    assert_eq!(tracker.map(T).1, vec![12..14, 20..30]);
    push(&mut tracker, 11);
    for inherited in [12, 13] {
        let sequence = push(&mut tracker, inherited);
        tracker.entry_mut(sequence).unwrap().state = State::Resolved;
    }
    push(&mut tracker, 14);
    assert_eq!(tracker.map(T).1, vec![12..14, 20..30]);
    tracker.advance(NextOffset(31));
    assert_eq!(tracker.map(T).1, vec![12..14], "20 to 30 turned out to be gaps, and no record needs them");
}

#[test]
fn a_record_has_room_if_a_bit_or_two_runs_for_each_have() {
    let mut tracker = tracker(&(0..40).collect::<Vec<_>>());
    let highest = |tracker: &Tracker<()>, room| (0..40).filter(|n| tracker.has_room_for(*n, room)).max();
    assert_eq!(highest(&tracker, 0), Some(0), "the lowest record always has");
    assert_eq!(highest(&tracker, 2), Some(15));
    assert_eq!(highest(&tracker, 4), Some(31));
    resolve(&mut tracker, 0);
    tracker.settle(T);
    assert_eq!(highest(&tracker, 4), Some(32), "the window has moved");
    assert!(!tracker.has_room_for(0, 4) && !tracker.has_room_for(40, 4), "not there");
}

#[test]
fn what_an_earlier_owner_resolved_takes_room_too() {
    let mut tracker: Tracker<()> = Tracker::new(NextOffset(0), vec![5..6, 60..70]);
    let (first, second) = (push(&mut tracker, 0), push(&mut tracker, 1));
    assert!(tracker.has_room_for(first, 0));
    assert!(tracker.has_room_for(second, 9) && !tracker.has_room_for(second, 8), "70 offsets, or four runs and one");
    assert_eq!(tracker.window_to(second, Offset(1)), (70, 4));
}

#[test]
fn offsets_are_inherited_within_their_ranges_only() {
    let tracker: Tracker<()> = Tracker::new(NextOffset(0), vec![2..4, 6..7]);
    let inherited: Vec<_> = (0..9).filter(|offset| tracker.is_inherited(Offset(*offset))).collect();
    assert_eq!(inherited, [2, 3, 6]);
}

#[test]
fn inherited_ranges_leave_when_they_are_passed() {
    let mut tracker: Tracker<()> = Tracker::new(NextOffset(0), vec![2..4, 6..7]);
    push(&mut tracker, 0);
    tracker.advance(NextOffset(3));
    assert_eq!(tracker.inherited.len(), 2);
    tracker.advance(NextOffset(4));
    assert_eq!(tracker.inherited.len(), 1);
    tracker.advance(NextOffset(2));
    assert_eq!((tracker.next(), tracker.inherited.len()), (NextOffset(4), 1), "it never goes back");
}

#[test]
fn a_range_of_an_earlier_owner_joins_what_was_resolved_before_it() {
    let mut tracker = Tracker::new(NextOffset(10), ranges(&[(12, 20)]));
    for offset in [10, 11] {
        push(&mut tracker, offset);
    }
    resolve(&mut tracker, 1);
    assert_eq!(tracker.map(T).1, ranges(&[(11, 20)]));
    resolve(&mut tracker, 0);
    assert_eq!(tracker.map(T), (NextOffset(12), ranges(&[(12, 20)]), vec![]), "nothing of it is polled yet");
}

#[test]
fn attempts_are_in_the_map_if_an_outcome_record_says_them() {
    let mut tracker = tracker(&[10, 11, 12, 13]);
    for (sequence, attempts, audited, inherited) in [(0, 1, 1, 0), (1, 1, 0, 0), (2, 3, 3, 3), (3, 3, 3, 2)] {
        let entry = tracker.entry_mut(sequence).unwrap();
        (entry.attempts, entry.audited, entry.inherited) = (attempts, audited, inherited);
    }
    let attempts: Vec<_> = tracker.map(T).2.iter().map(|known| (known.offset.0, known.attempts)).collect();
    assert_eq!(attempts, [(10, 1), (13, 3)]);
}

#[test]
fn what_was_never_started_is_not_looked_at() {
    let mut tracker = tracker(&[10, 11]);
    let entry = |offset| Entry {
        offset: Offset(offset),
        state: State::Resolved,
        bytes: 1,
        route: RouteId(0),
        lane: 0,
        tenant: 0,
        attempts: 0,
        audited: 0,
        inherited: 0,
        handlers: HandlerList::default(),
        done: 0,
        audited_done: 0,
        counted: false,
        placeless: false,
        payload: None,
    };
    let sequence = tracker.push(entry(12));
    assert_eq!(tracker.map(T).1, []);
    tracker.start(sequence);
    assert_eq!(tracker.map(T).1, ranges(&[(12, 13)]));
    tracker.start(0);
    assert_eq!(tracker.map(T).1, ranges(&[(12, 13)]), "it never goes back");
}

#[test]
fn sequences_find_their_records_after_others_have_left() {
    let mut tracker = tracker(&[10, 11, 12]);
    resolve(&mut tracker, 0);
    assert_eq!(tracker.settle(T), (1, 1));
    assert_eq!(tracker.entry(1).map(|entry| entry.offset), Some(Offset(11)));
    assert!(tracker.entry(0).is_none() && tracker.entry_mut(0).is_none() && tracker.entry_mut(3).is_none());
    assert_eq!(tracker.head().map(|(sequence, entry)| (sequence, entry.offset)), Some((1, Offset(11))));
    assert_eq!(tracker.iter().map(|(sequence, _)| sequence).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(push(&mut tracker, 13), 3);
}

#[test]
fn staged_means_resolved_from_its_transaction_on() {
    let mut tracker = tracker(&[10, 11]);
    tracker.entry_mut(0).unwrap().state = State::Staged(TransactionId(2));
    assert_eq!(tracker.settle(TransactionId(1)), (0, 0));
    assert_eq!(tracker.position(TransactionId(1)), NextOffset(10));
    assert_eq!(tracker.position(TransactionId(2)), NextOffset(11));
    assert_eq!(tracker.settle(TransactionId(3)), (1, 1));
}
