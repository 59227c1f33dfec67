//! What a run comes to: a table for people, and one JSON object as the last line of the output.

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::{Map, Value, json};

use crate::plan::Kind;
use crate::reconcile::{Amounts, Ending, Harm, Report};
use crate::world::Delivery;

/// A fault that happened.
#[derive(Clone, Debug)]
pub struct Happened {
    pub kind: Kind,
    /// Since the first event was sent.
    pub began_ms: u64,
    pub ended_ms: u64,
    /// From its end until every partition had got on; `None` if one never did.
    pub recovery_ms: Option<u64>,
}

/// A time in which a partition did not get on.
#[derive(Clone, Copy, Debug)]
pub struct Standstill {
    pub partition: i32,
    /// Since the first event was sent.
    pub began_ms: u64,
    pub lasted_ms: u64,
}

/// Everything that a run has shown.
#[derive(Clone, Debug)]
pub struct Summary {
    pub seed: u64,
    pub delivery: Delivery,
    pub brokers: usize,
    pub seconds: u64,
    pub report: Report,
    /// What it was judged by; of committed positions, how often they were seen while it went on.
    pub read: Amounts,
    /// What replicas have written of themselves meanwhile.
    pub status_reports: usize,
    pub faults: Vec<Happened>,
    pub longest_stall: Standstill,
    /// Markers of transactions that the broker itself dropped: what is wrong then is Kafka's doing.
    pub dropped_markers: usize,
    /// From the last event sent to the last one resolved.
    pub drain_ms: u64,
    /// Replicas that ended when nobody had told them to, or did not when they were told.
    pub complaints: Vec<String>,
    /// Commands that did not do what they had to.
    pub refusals: Vec<String>,
}

impl Summary {
    /// Whether a harm is one in this kind of delivery.
    #[must_use]
    pub const fn is_required(&self, harm: Harm) -> bool {
        match self.delivery {
            Delivery::Transactional => true,
            // Whatever is repeated after a crash is repeated with its attempt numbers.
            Delivery::AtLeastOnce => {
                matches!(harm, Harm::Lost | Harm::Reordered | Harm::AuditGaps | Harm::PassedUnresolved)
            }
        }
    }

    /// Whether every count that has to be 0 is, and there is evidence of every kind that could have said otherwise.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let harmless = Harm::ALL.into_iter().all(|harm| !self.is_required(harm) || self.report.count(harm) == 0);
        let seen = self.read.missing().next().is_none();
        harmless && seen && self.complaints.is_empty() && self.refusals.is_empty()
    }

    fn ended(&self, ending: Ending) -> usize {
        self.report.ended.get(&ending).copied().unwrap_or(0)
    }

    /// One object, on one line.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut object = Map::new();
        let mut put = |name: &str, value: Value| drop(object.insert(name.to_owned(), value));
        put("seed", json!(self.seed));
        put("delivery", json!(self.delivery.name()));
        put("brokers", json!(self.brokers));
        put("seconds", json!(self.seconds));
        put("sent", json!(self.report.sent));
        put("resolved", json!(self.report.resolved()));
        for ending in Ending::ALL {
            put(ending.name(), json!(self.ended(ending)));
        }
        put("overflowed", json!(self.report.overflowed));
        put("halted", json!(self.report.halted));
        put("crashed", json!(self.report.crashed));
        put("doubled", json!(self.report.doubled()));
        for harm in Harm::ALL {
            put(harm.name(), json!(self.report.count(harm)));
        }
        put("position_snapshots", json!(self.read.snapshots));
        put("read", self.read.all().into_iter().map(|(name, amount)| (name.to_owned(), json!(amount))).collect());
        put("status_reports", json!(self.status_reports));
        put("replicas_failed", json!(self.complaints.len()));
        put("commands_failed", json!(self.refusals.len()));
        put("never_acknowledged", json!(self.report.unacknowledged));
        put("lost_by_broker", json!(self.report.lost_by_broker));
        put("markers_dropped_by_broker", json!(self.dropped_markers));
        let Standstill { partition, began_ms, lasted_ms } = self.longest_stall;
        put("longest_stall_ms", json!(lasted_ms));
        put("longest_stall", json!({"partition": partition, "began_ms": began_ms}));
        put("drain_ms", json!(self.drain_ms));
        let fault = |fault: &Happened| {
            json!({
                "fault": fault.kind.name(), "began_ms": fault.began_ms, "ended_ms": fault.ended_ms,
                "recovery_ms": fault.recovery_ms,
            })
        };
        put("faults", self.faults.iter().map(fault).collect());
        put("clean", json!(self.is_clean()));
        Value::Object(object)
    }

    /// For people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut counts = Table::new();
        counts.load_preset(NOTHING).set_header(["", "count"]);
        counts.add_row(["sent", &self.report.sent.to_string()]);
        counts.add_row(["resolved", &self.report.resolved().to_string()]);
        for ending in Ending::ALL {
            counts.add_row([ending.name(), &self.ended(ending).to_string()]);
        }
        for (name, count) in [
            ("overflowed", self.report.overflowed),
            ("halted for a while", self.report.halted),
            ("given up as crash", self.report.crashed),
            ("never acknowledged", self.report.unacknowledged),
            ("acknowledged, and lost by the broker", self.report.lost_by_broker),
        ] {
            counts.add_row([name, &count.to_string()]);
        }
        for harm in Harm::ALL {
            let count = self.report.count(harm);
            let allowed = if self.is_required(harm) || count == 0 { "" } else { " (allowed)" };
            counts.add_row([harm.name(), &format!("{count}{allowed}")]);
        }
        counts.add_row(["positions looked at", &format!("{} times", self.read.snapshots)]);
        counts.add_row(["status reports", &self.status_reports.to_string()]);
        let Standstill { partition, began_ms, lasted_ms } = self.longest_stall;
        counts.add_row(["longest stall", &format!("{lasted_ms} ms, of partition {partition} from {began_ms} ms on")]);
        counts.add_row(["drained after", &format!("{} ms", self.drain_ms)]);
        let mut faults = Table::new();
        faults.load_preset(NOTHING).set_header(["fault", "began", "lasted", "recovered after"]);
        for fault in &self.faults {
            faults.add_row([
                fault.kind.name().to_owned(),
                format!("{} ms", fault.began_ms),
                format!("{} ms", fault.ended_ms - fault.began_ms),
                fault.recovery_ms.map_or("never".to_owned(), |ms| format!("{ms} ms")),
            ]);
        }
        format!("{faults}\n\n{counts}\n")
    }

    /// What was found, with evidence; empty if nothing was.
    #[must_use]
    pub fn findings(&self) -> String {
        let harms = self.report.examples.iter().map(|(harm, example)| format!("{}: {example}\n", harm.name()));
        let unread = self.read.missing().map(|name| format!("nothing was read of: {name}\n"));
        let others = self.complaints.iter().chain(&self.refusals);
        harms.chain(unread).chain(others.map(|complaint| format!("{complaint}\n"))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::{Evidence, reconcile};

    /// A run without harms, as far as anybody has seen.
    fn summary(read: Amounts) -> Summary {
        Summary {
            seed: 1,
            delivery: Delivery::Transactional,
            brokers: 1,
            seconds: 1,
            report: reconcile(&Evidence::default()),
            read,
            status_reports: 0,
            faults: Vec::new(),
            longest_stall: Standstill { partition: 0, began_ms: 0, lasted_ms: 0 },
            dropped_markers: 0,
            drain_ms: 0,
            complaints: Vec::new(),
            refusals: Vec::new(),
        }
    }

    #[test]
    fn a_run_of_which_something_was_not_read_is_not_clean() {
        let all = Amounts { stored: 1, outcomes: 1, receipts: 1, derived: 1, rows: 1, positions: 1, snapshots: 1 };
        assert!(summary(all).is_clean());
        for (read, what) in [
            (Amounts { stored: 0, ..all }, "stored"),
            (Amounts { outcomes: 0, ..all }, "outcomes"),
            (Amounts { receipts: 0, ..all }, "receipts"),
            (Amounts { derived: 0, ..all }, "derived"),
            (Amounts { rows: 0, ..all }, "rows"),
            (Amounts { positions: 0, ..all }, "positions"),
            (Amounts { snapshots: 0, ..all }, "snapshots"),
        ] {
            let summary = summary(read);
            assert_eq!(summary.findings(), format!("nothing was read of: {what}\n"));
            assert!(!summary.is_clean() && summary.json()["clean"] == false, "{what}");
        }
    }
}
