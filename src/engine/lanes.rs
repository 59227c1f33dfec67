//! Lanes: what keeps order (I3). A lane is a queue of records of one partition of which at most one run is with a worker.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use super::Ordering;
use crate::event::Offset;

/// Why a lane does or does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LaneState {
    /// Nothing runs; it is in no queue of ready lanes.
    Idle,
    /// In its route's queue of ready lanes.
    Ready,
    /// So many records of a run are with a worker.
    Running(u32),
    /// The head waits for a time, or stands still for good.
    Blocked,
    /// The head does not fit into the offset map.
    Held,
}

#[derive(Debug)]
pub(super) struct Lane {
    key: u64,
    pub(super) state: LaneState,
    /// Sequences of its records, oldest first.
    pub(super) queue: VecDeque<u64>,
}

impl Lane {
    pub(super) fn key(&self) -> u64 {
        self.key
    }

    /// A record of it is with a worker already.
    pub(super) fn runs_one_more(&mut self) {
        self.state = match self.state {
            LaneState::Running(records) => LaneState::Running(records + 1),
            _ => LaneState::Running(1),
        };
    }

    /// A record ends: the head, or one that was with a worker when the routes changed.
    pub(super) fn remove(&mut self, sequence: u64) {
        match self.queue.iter().position(|queued| *queued == sequence) {
            Some(0) => drop(self.queue.pop_front()),
            Some(index) => drop(self.queue.remove(index)),
            None => debug_assert!(false, "a record that ends is in its lane"),
        }
    }
}

/// The lanes of one partition.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    by_key: HashMap<u64, u32, BuildHasherDefault<Prehashed>>,
    lanes: Vec<Lane>,
    free: Vec<u32>,
}

impl Lanes {
    /// The key of a record's lane. Keys of different orderings may collide: that costs concurrency, never order.
    pub(super) fn key(ordering: Ordering, hash: u64, offset: Offset) -> u64 {
        match ordering {
            Ordering::Partition => 0,
            Ordering::Key | Ordering::Strict => hash,
            Ordering::None => offset.0.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15),
        }
    }

    /// Appends a record to its lane and gives the lane's index.
    pub(super) fn push(&mut self, key: u64, sequence: u64) -> u32 {
        let index = *self.by_key.entry(key).or_insert_with(|| {
            self.free.pop().unwrap_or_else(|| {
                self.lanes.push(Lane { key, state: LaneState::Idle, queue: VecDeque::new() });
                u32::try_from(self.lanes.len() - 1).expect("fewer lanes than buffered records")
            })
        });
        let lane = &mut self.lanes[index as usize];
        lane.key = key;
        lane.queue.push_back(sequence);
        index
    }

    pub(super) fn lane(&self, index: u32) -> &Lane {
        &self.lanes[index as usize]
    }

    pub(super) fn lane_mut(&mut self, index: u32) -> &mut Lane {
        &mut self.lanes[index as usize]
    }

    /// Gives an empty, idle lane's place back.
    pub(super) fn release_if_empty(&mut self, index: u32) {
        let lane = &mut self.lanes[index as usize];
        if lane.queue.is_empty() && !matches!(lane.state, LaneState::Running(_)) {
            lane.state = LaneState::Idle;
            if self.by_key.remove(&lane.key).is_some() {
                self.free.push(index);
            }
        }
    }

    /// Indices of lanes that have records.
    pub(super) fn occupied(&self) -> impl Iterator<Item = u32> {
        self.lanes
            .iter()
            .enumerate()
            .filter(|(_, lane)| !lane.queue.is_empty())
            .map(|(index, _)| u32::try_from(index).expect("fewer lanes than buffered records"))
    }
}

/// Lane keys are hashes already.
#[derive(Default)]
pub(super) struct Prehashed(u64);

impl Hasher for Prehashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 ^= u64::from_le_bytes(word);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 ^= hash;
    }

    fn write_u128(&mut self, hash: u128) {
        self.0 ^= u64::try_from(hash & u128::from(u64::MAX)).expect("masked");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::BuildHasher;

    #[test]
    fn an_empty_lane_gives_its_place_to_the_next_key() {
        let mut lanes = Lanes::default();
        let first = lanes.push(1, 0);
        assert_eq!(lanes.push(1, 1), first);
        lanes.lane_mut(first).queue.clear();
        lanes.release_if_empty(first);
        assert_eq!(lanes.push(2, 2), first);
        assert_eq!(lanes.occupied().collect::<Vec<_>>(), [first]);
    }

    #[test]
    fn orderings_choose_what_shares_a_lane() {
        let key = |ordering, hash, offset| Lanes::key(ordering, hash, Offset(offset));
        assert_eq!(key(Ordering::Partition, 1, 1), key(Ordering::Partition, 2, 2));
        assert_eq!(key(Ordering::Key, 1, 1), key(Ordering::Strict, 1, 2));
        assert_ne!(key(Ordering::None, 1, 1), key(Ordering::None, 1, 2));
    }

    #[test]
    fn lanes_with_records_or_a_run_keep_their_place() {
        let mut lanes = Lanes::default();
        let (full, runs) = (lanes.push(1, 0), lanes.push(2, 1));
        lanes.lane_mut(runs).queue.clear();
        lanes.lane_mut(runs).state = LaneState::Running(1);
        for index in [full, runs] {
            lanes.release_if_empty(index);
        }
        assert_eq!((lanes.push(1, 2), lanes.push(2, 3)), (full, runs));
        assert_eq!(lanes.occupied().collect::<Vec<_>>(), [full, runs]);
        assert_eq!(lanes.lane(full).queue, [0, 2]);
    }

    #[test]
    fn a_lane_is_released_once() {
        let mut lanes = Lanes::default();
        let first = lanes.push(1, 0);
        lanes.lane_mut(first).queue.clear();
        lanes.lane_mut(first).state = LaneState::Blocked;
        lanes.release_if_empty(first);
        lanes.release_if_empty(first);
        assert_eq!(lanes.lane(first).state, LaneState::Idle);
        assert_ne!(lanes.push(2, 1), lanes.push(3, 2), "one place is not given twice");
    }

    #[test]
    fn keys_that_are_hashes_stay_as_they_are() {
        let hash = |number: u64| BuildHasherDefault::<Prehashed>::default().hash_one(number);
        assert_eq!((hash(7), hash(1 << 63)), (7, 1 << 63));
        let wide = |number: u128| BuildHasherDefault::<Prehashed>::default().hash_one(number);
        assert_eq!((wide(7), wide(u128::from(u64::MAX)), wide(3 << 64 | 5)), (7, u64::MAX, 5));
        let mut bytes = Prehashed::default();
        bytes.write(&[1, 0, 0, 0, 0, 0, 0, 0, 2]);
        assert_eq!(bytes.finish(), 3);
    }
}
