//! The reconciler: what was sent against what everybody can see of it afterwards.
//!
//! A pure function of plain values, which shares no code with the product: what is compared was read from topics and tables
//! by an ordinary client. Each harm is counted with the evidence for it.
//!
//! A record's **way** begins where it was sent to and ends at an outcome that says the last word about it. It leaves a place
//! once; where it leaves for a retry topic, it goes on at the place it got there. A record that has halted stands still until
//! somebody acts, which the run does at its end: then it has to come to an end like any other.

mod attempts;
mod copies;
mod coverage;
mod doubles;
mod epochs;
mod losses;
mod model;
mod order;
mod passing;
mod report;
#[cfg(test)]
mod tests;
mod way;

pub use model::{
    Amounts, Derived, Ending, Evidence, Forward, Forwarded, Outcome, Overflow, Place, Policy, Position, Receipt, Row,
    Sent, Snapshot, Stored,
};
pub use report::{Harm, Report};

use copies::{Accounted, account};
use way::Ways;

/// Compares everything with everything.
#[must_use]
pub fn reconcile(evidence: &Evidence) -> Report {
    let Accounted { records, unacknowledged, lost_by_broker } = account(evidence);
    let ways = Ways::new(&records, evidence);
    let mut report = Report::new(records.len());
    (report.unacknowledged, report.lost_by_broker) = (unacknowledged, lost_by_broker);
    tally(&ways, &mut report);
    losses::check(evidence, &ways, &mut report);
    doubles::check(evidence, &ways, &mut report);
    order::check(evidence, &ways, &mut report);
    attempts::check(&ways, &mut report);
    epochs::check(evidence, &mut report);
    passing::check(evidence, &ways, &mut report);
    coverage::check(evidence, &ways, &mut report);
    report
}

/// What became of the records, harm or not.
fn tally(ways: &Ways<'_>, report: &mut Report) {
    for way in &ways.all {
        if let Some(ending) = way.ending() {
            *report.ended.entry(ending).or_default() += 1;
        }
        report.overflowed += usize::from(way.overflowed());
        report.halted += usize::from(way.has_halted());
        report.crashed += usize::from(way.outcomes.iter().any(|outcome| outcome.class.as_deref() == Some("crash")));
    }
}
