//! How often something happened that wants a person's eye.

use crate::engine::Incident;

/// Incidents since the replica started, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Incidents {
    /// Dependencies that were down for longer than the limit.
    pub outages: u64,
    /// Records that stand still because their route's policy says halt.
    pub halted: u64,
    /// Ranges of offsets that retention took before they were read (I10).
    pub events_lost: u64,
    /// Records that were running in several processes that died.
    pub crashed: u64,
}

impl Incidents {
    pub(super) fn count(&mut self, incident: &Incident) {
        *match incident {
            Incident::Outage { .. } => &mut self.outages,
            Incident::Halted { .. } => &mut self.halted,
            Incident::EventsLost { .. } => &mut self.events_lost,
            Incident::Crash { .. } => &mut self.crashed,
        } += 1;
    }

    /// Each kind under its name in metrics.
    #[must_use]
    pub const fn by_kind(&self) -> [(&'static str, u64); 4] {
        [("outage", self.outages), ("halted", self.halted), ("events_lost", self.events_lost), ("crash", self.crashed)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::PartitionId;
    use crate::event::{NextOffset, Offset};

    #[test]
    fn each_kind_is_counted_by_itself() {
        let mut incidents = Incidents::default();
        let lost = Incident::EventsLost { partition: PartitionId(0), from: Offset(1), to: NextOffset(5) };
        incidents.count(&lost);
        incidents.count(&lost);
        incidents.count(&Incident::Crash { partition: PartitionId(0), offset: Offset(1) });
        assert_eq!(incidents.by_kind(), [("outage", 0), ("halted", 0), ("events_lost", 2), ("crash", 1)]);
    }
}
