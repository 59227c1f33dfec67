//! Attempt numbers: one after the other, over retry topics, rebalances and restarts, and none above the policy's limit.

use std::collections::BTreeSet;

use super::way::Ways;
use super::{Harm, Report};

pub(super) fn check(ways: &Ways<'_>, report: &mut Report) {
    for way in &ways.all {
        let (mut last, mut seen) = (0, BTreeSet::new());
        for outcome in &way.outcomes {
            let attempt = outcome.attempt;
            let limit = way.sent.policy.attempts;
            if attempt > limit {
                report.add(Harm::AttemptsBeyondPolicy, || format!("limit {limit}: {}", way.describe()));
            }
            // Without a handler there is no attempt; the same outcome again is a doubled one.
            let again = !seen.insert((&outcome.place, attempt, outcome.kind.as_str()));
            // What leaves its place, or halts there, says so after the attempt that it made.
            let says_so = outcome.moved || outcome.kind == "halted";
            if attempt == 0 || again || says_so && attempt == last {
                continue;
            }
            if attempt <= last {
                report.add(Harm::AttemptWentBack, || way.describe());
            } else if attempt > last + 1 {
                report.add(Harm::AttemptSkipped, || way.describe());
            }
            last = attempt;
        }
    }
}
