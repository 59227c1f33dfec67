//! Deduplication within a partition: the identities of the last offsets, each with the offset of first sight.
//!
//! Equal events meet in one partition because publishers derive the key from the event. A redelivery of the very offset
//! that was seen first is no duplicate: it is the same record after a restart.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasherDefault;

use super::lanes::Prehashed;
use crate::event::{Identity, Offset};

#[derive(Debug, Default)]
pub(super) struct Window {
    sightings: HashMap<u128, Sighting, BuildHasherDefault<Prehashed>>,
    order: VecDeque<(Offset, Identity)>,
}

#[derive(Clone, Copy, Debug)]
struct Sighting {
    first: Offset,
    /// An identity stays in the window as long as it is seen again, whether it was first seen before or after a restart.
    last: Offset,
}

impl Window {
    /// Notes `identity` at `offset`. Gives the earlier offset if this is a duplicate of it.
    pub(super) fn note(&mut self, identity: Identity, offset: Offset) -> Option<Offset> {
        let sighting = self.sightings.entry(identity.0).or_insert(Sighting { first: offset, last: offset });
        if sighting.first == offset || sighting.last < offset {
            sighting.last = sighting.last.max(offset);
            self.order.push_back((offset, identity));
        }
        (sighting.first < offset).then_some(sighting.first)
    }

    /// Forgets what was last seen more than `window` offsets before `newest`, and the oldest beyond `max_entries`.
    pub(super) fn trim(&mut self, newest: Offset, window: u32, max_entries: usize) {
        let oldest = newest.0.saturating_sub(i64::from(window));
        while self.order.front().is_some_and(|(offset, _)| offset.0 < oldest) || self.order.len() > max_entries {
            let (offset, identity) = self.order.pop_front().expect("not empty: both conditions need an entry");
            if self.sightings.get(&identity.0).is_some_and(|sighting| sighting.last == offset) {
                self.sightings.remove(&identity.0);
            }
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.sightings.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_offset_again_is_no_duplicate() {
        let mut window = Window::default();
        assert_eq!(window.note(Identity(1), Offset(5)), None);
        assert_eq!(window.note(Identity(1), Offset(5)), None);
        assert_eq!(window.note(Identity(1), Offset(9)), Some(Offset(5)));
        assert_eq!(window.note(Identity(2), Offset(9)), None);
    }

    #[test]
    fn a_duplicate_keeps_its_identity_in_the_window() {
        let mut window = Window::default();
        for (offset, first) in [(0, None), (8, Some(0)), (16, Some(0)), (40, None)] {
            window.trim(Offset(offset), 10, 1_000);
            assert_eq!(window.note(Identity(1), Offset(offset)), first.map(Offset));
        }
    }

    #[test]
    fn what_leaves_the_window_is_new_again() {
        let mut window = Window::default();
        for n in 0..100 {
            window.note(Identity(n), Offset(i64::try_from(n).unwrap()));
            window.trim(Offset(i64::try_from(n).unwrap()), 10, 1_000);
        }
        assert_eq!(window.len(), 11);
        window.trim(Offset(99), 10, 3);
        assert_eq!(window.len(), 3);
        assert_eq!(window.note(Identity(0), Offset(100)), None);
    }

    #[test]
    fn the_window_reaches_exactly_so_far_back() {
        for (again, found) in [(10, Some(Offset(0))), (11, None)] {
            let mut window = Window::default();
            window.note(Identity(1), Offset(0));
            window.trim(Offset(again), 10, 1_000);
            assert_eq!(window.note(Identity(1), Offset(again)), found, "{again}");
        }
    }

    #[test]
    fn sightings_that_come_late_do_not_shorten_what_is_known() {
        let mut window = Window::default();
        window.note(Identity(1), Offset(5));
        window.note(Identity(1), Offset(20));
        // The rebuilt window may come after the first polled records.
        assert_eq!(window.note(Identity(1), Offset(10)), Some(Offset(5)));
        window.trim(Offset(25), 10, 1_000);
        assert_eq!(window.note(Identity(1), Offset(25)), Some(Offset(5)));
    }

    #[test]
    fn entries_are_bounded_exactly() {
        let mut window = Window::default();
        for n in 0..5 {
            window.note(Identity(n), Offset(i64::try_from(n).unwrap()));
        }
        window.trim(Offset(4), 100, 5);
        assert_eq!(window.len(), 5);
        window.trim(Offset(4), 100, 4);
        assert_eq!((window.len(), window.note(Identity(0), Offset(5))), (4, None), "the oldest went");
    }
}
