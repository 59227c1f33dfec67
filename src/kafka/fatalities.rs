//! How often producers have failed for good, and when that is too often to go on.
//!
//! Each time there is a new producer. What comes back with every one of them ends the replica, and so does a second owner of the
//! id, which will not go away by itself; what one commit has got past does not come back.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Within [`WINDOW`].
const TOO_OFTEN: usize = 3;
const WINDOW: Duration = Duration::from_secs(60);

/// How a producer failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fatality {
    /// By another one with its id.
    Fenced,
    Other,
}

#[derive(Debug, Default)]
pub(super) struct Fatalities(VecDeque<(Instant, Fatality)>);

impl Fatalities {
    /// One more; how many there are now if that is too often.
    pub(super) fn note(&mut self, now: Instant, fatality: Fatality) -> Option<usize> {
        self.0.push_back((now, fatality));
        while self.0.front().is_some_and(|(at, _)| now.duration_since(*at) > WINDOW) {
            self.0.pop_front();
        }
        Some(self.0.len()).filter(|count| *count >= TOO_OFTEN)
    }

    /// A producer has committed: two that fence each other do so too, now and then.
    pub(super) fn committed(&mut self) {
        self.0.retain(|(_, fatality)| *fatality == Fatality::Fenced);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_within_a_minute_are_too_many() {
        let (mut fatalities, start) = (Fatalities::default(), Instant::now());
        let mut note = |seconds| fatalities.note(start + Duration::from_secs(seconds), Fatality::Other);
        assert_eq!([note(0), note(30), note(61), note(90)], [None, None, None, Some(3)]);
    }

    #[test]
    fn a_commit_is_a_new_beginning_unless_another_has_the_id() {
        let now = Instant::now();
        for (fatality, third) in [(Fatality::Other, None), (Fatality::Fenced, Some(3))] {
            let mut fatalities = Fatalities::default();
            assert_eq!([fatalities.note(now, fatality), fatalities.note(now, fatality)], [None, None]);
            fatalities.committed();
            assert_eq!(fatalities.note(now, fatality), third, "{fatality:?}");
        }
    }
}
