//! Bounds and policies. Built by the configuration, which refuses values that make no sense together.

use std::time::Duration;

use super::{Dependency, TenantQuota, retry};

/// Bounds of the whole replica (I7) and its rhythm.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Records buffered, in flight, parked or staged.
    pub max_records: usize,
    /// Bytes of those records.
    pub max_bytes: usize,
    /// Records handed to workers and not yet reported.
    pub max_in_flight: usize,
    /// Records in one run.
    pub max_run: usize,
    /// A transaction is committed at the latest this long after its first output.
    pub commit_interval: Duration,
    /// ... or after this many outputs.
    pub commit_max_records: usize,
    /// How long handlers may run on after their partition was revoked.
    pub drain_timeout: Duration,
    /// Offsets per partition in which duplicates are looked for.
    pub dedup_window: u32,
    /// Entries of all partitions' windows together.
    pub dedup_max_entries: usize,
    /// Records parked in place per partition; the next one follows the overflow policy.
    pub max_parked: usize,
    /// Bytes of metadata that the broker keeps beside a committed offset: at most [`super::offset_map::MAX_METADATA_BYTES`], and
    /// enough for the counts of `max_parked` ([`super::offset_map::room`]).
    pub max_metadata_bytes: usize,
    /// Unclean ends of a partition's owners after which its records run one at a time.
    pub suspect_after: u32,
    /// Deaths that a record must be named by before it is dead-lettered as a crash.
    pub crash_deaths: u32,
    pub circuit: CircuitSettings,
}

/// When a dependency is taken to be down, and how it is asked whether it is back.
#[derive(Clone, Debug)]
pub struct CircuitSettings {
    /// Systemic failures that open the circuit.
    pub failures: u32,
    /// ... or this long after the first one, while none succeeded.
    pub decide_within: Duration,
    /// Distinct lanes failing with the same transient code, none succeeding in between, that count as systemic.
    pub same_error_lanes: u32,
    pub probe: retry::Backoff,
    /// How long a record waits alone for a dependency before its handler looks whether it still needs it.
    pub looks_every: Duration,
    /// An outage longer than this is escalated, once.
    pub escalate_after: Duration,
}

/// What keeps records in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ordering {
    /// All records of a partition.
    Partition,
    /// Records with the same key (the default).
    Key,
    /// As `Key`, and retried in place only, so that no later record overtakes.
    Strict,
    None,
}

/// What happens to a record that cannot stay parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    RetryTopic,
    DeadLetter,
    Halt,
}

/// What happens when a route's attempts are used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exhausted {
    DeadLetter,
    Halt,
}

/// Which handlers a route has, and in which order: a hash of their names. The engine knows no more of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HandlerList(pub u64);

impl HandlerList {
    /// What the offset map says of it. Never 0.
    #[must_use]
    pub fn fingerprint(self) -> u16 {
        u16::try_from(self.0 % u64::from(u16::MAX) + 1).expect("from 1 to the largest one")
    }
}

/// What the engine needs to know of a route.
#[derive(Clone, Debug)]
pub struct RoutePolicy {
    /// Those that are done are done only under a route with the same ones.
    pub handlers: HandlerList,
    pub ordering: Ordering,
    pub retry: retry::Policy,
    pub overflow: Overflow,
    pub exhausted: Exhausted,
    /// Records of this route that may be in flight at once. 0: it is disabled, and its records wait.
    pub concurrency: usize,
    /// What each tenant of the route may do at most.
    pub tenant: TenantPolicy,
    /// Dependencies whose outage stops this route.
    pub dependencies: Vec<Dependency>,
    /// Its handler runs only when the record's receipt is acknowledged; otherwise the receipt comes before the commit.
    pub write_ahead: bool,
}

/// Bounds of each tenant within one route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TenantPolicy {
    /// Records that may be in flight at once; at least 1.
    pub concurrency: usize,
    /// Attempts that may begin.
    pub quota: Option<TenantQuota>,
}

impl TenantPolicy {
    /// Its bounds, if there are any: `16 in flight, 50/s, burst 100`.
    #[must_use]
    pub fn in_words(&self) -> Option<String> {
        let concurrency = (self.concurrency < usize::MAX).then(|| format!("{} in flight", self.concurrency));
        let quota = self.quota.map(|quota| format!("{}/s, burst {}", quota.per_second, quota.burst));
        let all: Vec<String> = concurrency.into_iter().chain(quota).collect();
        (!all.is_empty()).then(|| all.join(", "))
    }
}

/// No bounds besides the route's.
impl Default for TenantPolicy {
    fn default() -> Self {
        Self { concurrency: usize::MAX, quota: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_of_a_tenant_are_told_if_there_are_any() {
        let quota = Some(TenantQuota { per_second: 50, burst: 100 });
        let words = |policy: TenantPolicy| policy.in_words();
        let none = TenantPolicy::default();
        assert_eq!(words(none), None);
        assert_eq!(words(TenantPolicy { concurrency: 16, ..none }).as_deref(), Some("16 in flight"));
        assert_eq!(words(TenantPolicy { quota, ..none }).as_deref(), Some("50/s, burst 100"));
        assert_eq!(words(TenantPolicy { concurrency: 16, quota }).as_deref(), Some("16 in flight, 50/s, burst 100"));
    }
}
