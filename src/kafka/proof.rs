//! When a proof of one partition's end is to be asked for, and whether one is being looked for.

use crate::engine::Time;

/// One proof at a time. An end that is reached while one is looked for waits for its answer, and is not forgotten.
#[derive(Debug, Default)]
pub(super) struct Proof {
    /// Pushed back by every end, taken back by every record.
    due: Option<Time>,
    asked: bool,
}

impl Proof {
    pub(super) fn is_due_at(&mut self, due: Time) {
        self.due = Some(due);
    }

    /// A record came: it will be followed by another end.
    pub(super) fn not_now(&mut self) {
        self.due = None;
    }

    /// Nobody asks, nor will.
    pub(super) const fn is_idle(&self) -> bool {
        self.due.is_none() && !self.asked
    }

    /// When it wants to be asked for; never while it is.
    pub(super) fn wake(&self) -> Option<Time> {
        self.due.filter(|_| !self.asked)
    }

    /// Whether it is to be asked for now; then it is.
    pub(super) fn ask(&mut self, now: Time) -> bool {
        let asks = self.wake().is_some_and(|due| due <= now);
        if asks {
            (self.due, self.asked) = (None, true);
        }
        asks
    }

    /// The answer is there: when the next one is due, of an end that was reached meanwhile.
    pub(super) fn answered(&mut self) -> Option<Time> {
        self.asked = false;
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_that_is_reached_while_a_proof_is_looked_for_is_asked_for_after_it() {
        let mut proof = Proof::default();
        proof.is_due_at(Time(5));
        assert!(!proof.ask(Time(4)) && proof.ask(Time(5)));
        // Records came, and another end.
        proof.not_now();
        proof.is_due_at(Time(7));
        assert!(!proof.ask(Time(8)), "one at a time");
        assert_eq!((proof.wake(), proof.is_idle()), (None, false));
        assert_eq!(proof.answered(), Some(Time(7)));
        assert!(proof.ask(Time(8)));
        assert_eq!((proof.answered(), proof.is_idle()), (None, true));
    }

    #[test]
    fn a_record_takes_it_back() {
        let mut proof = Proof::default();
        proof.is_due_at(Time(5));
        proof.not_now();
        assert!(!proof.ask(Time(9)) && proof.is_idle());
    }
}
