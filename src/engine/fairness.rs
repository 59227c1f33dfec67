//! Who is next: the lanes of one route that may run, by tenant (`ce_tenantid`).
//!
//! Tenants take turns, and so do the lanes of each: what waits in front of a lane is one run of every tenant and of every lane
//! of its own, however many lanes or records another tenant has. A run is bounded in time ([`Pace`]), so that a turn is as
//! long for all. A tenant may be held to a number of records in flight and to a rate; what is beyond waits in its lanes and
//! holds no slot.
//!
//! Events without a tenant are one tenant together.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasherDefault;
use std::time::Duration;

use super::lanes::Prehashed;
use super::{Epoch, PartitionId, TenantPolicy, Time};

/// A lane, as the queues of those that may run name it.
pub(super) type LaneRef = (PartitionId, Epoch, u32);

/// A run takes about this long at most where slots are scarce, so that slow records go out one by one and cheap ones
/// together.
const RUN_TIME: Duration = Duration::from_millis(2);

/// Tenants that are remembered besides those that have records: what their rate has left. More are looked through for
/// those that have all of it left.
const REMEMBERED: usize = 1_024;

/// How long one record of a route takes, on average over the last few.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    nanos: u64,
}

impl Pace {
    /// Weight of the past: the average of about so many records.
    const MEMORY: u64 = 8;

    pub(super) fn note(&mut self, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX / Self::MEMORY).min(u64::MAX / Self::MEMORY);
        self.nanos = (self.nanos * (Self::MEMORY - 1) + took) / Self::MEMORY;
    }

    /// Records that make a run.
    pub(super) fn run(&self) -> usize {
        let run_nanos = u64::try_from(RUN_TIME.as_nanos()).expect("a few milliseconds");
        usize::try_from(run_nanos / self.nanos.max(1)).unwrap_or(usize::MAX).max(1)
    }
}

/// What a tenant may do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// This lane of it runs, with so many records at most.
    Runs(LaneRef, usize),
    /// Its rate is used up: it has no turn before that time.
    Waits { tenant: u64, until: Time },
    /// Nobody may run.
    Nobody,
}

/// What a tenant has used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    /// It has as many records in flight as it may.
    Concurrency,
    /// Its rate, until then.
    Rate { until: Time },
}

/// The lanes that may run.
#[derive(Debug, Default)]
pub(super) struct Ready {
    /// By the hash of its name.
    tenants: HashMap<u64, Tenant, BuildHasherDefault<Prehashed>>,
    /// Those that have lanes and may run, the next one first.
    turns: VecDeque<u64>,
    /// Tenants at which those are forgotten of which nothing need be remembered.
    forget_at: usize,
}

#[derive(Debug, Default)]
struct Tenant {
    lanes: VecDeque<LaneRef>,
    in_flight: usize,
    /// In `turns`.
    has_turn: bool,
    /// A timer gives it its turn back.
    waits: bool,
    /// Up to when its rate is used, in nanoseconds: the theoretical arrival time of the generic cell rate algorithm.
    used_to: u64,
}

impl Ready {
    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// The lane may run.
    pub(super) fn push(&mut self, tenant: u64, lane: LaneRef) {
        self.tenants.entry(tenant).or_default().lanes.push_back(lane);
        self.give_turn(tenant);
    }

    fn give_turn(&mut self, id: u64) {
        let Some(tenant) = self.tenants.get_mut(&id) else { return };
        if !tenant.lanes.is_empty() && !tenant.waits && !std::mem::replace(&mut tenant.has_turn, true) {
            self.turns.push_back(id);
        }
    }

    /// Takes the next turn.
    pub(super) fn next(&mut self, policy: &TenantPolicy, now: Time) -> Turn {
        while let Some(id) = self.turns.pop_front() {
            let Some(tenant) = self.tenants.get_mut(&id) else { continue };
            tenant.has_turn = false;
            let slots = policy.concurrency.saturating_sub(tenant.in_flight);
            if slots == 0 {
                // One of its records ends, and it is in the queue again.
                continue;
            }
            let (left, until) = policy.quota.map_or((usize::MAX, now), |quota| quota.left(tenant.used_to, now));
            if left == 0 {
                tenant.waits = true;
                return Turn::Waits { tenant: id, until };
            }
            let Some(lane) = tenant.lanes.pop_front() else { continue };
            self.give_turn(id);
            return Turn::Runs(lane, slots.min(left));
        }
        Turn::Nobody
    }

    /// Records of this tenant are handed out.
    pub(super) fn started(&mut self, tenant: u64, records: usize, policy: &TenantPolicy, now: Time) {
        let tenant = self.tenants.entry(tenant).or_default();
        tenant.in_flight += records;
        if let Some(quota) = policy.quota {
            tenant.used_to = quota.used(tenant.used_to, now, records);
        }
    }

    /// They are handed out already: by routes before these.
    pub(super) fn carried_over(&mut self, tenant: u64) {
        self.tenants.entry(tenant).or_default().in_flight += 1;
    }

    /// One is back, or its partition is gone.
    pub(super) fn ended(&mut self, id: u64, now: Time) {
        let Some(tenant) = self.tenants.get_mut(&id) else { return };
        tenant.in_flight -= 1;
        if !tenant.has_turn {
            self.give_turn(id);
        }
        self.forget_idle(now);
    }

    /// What keeps this tenant from its turn, whoever else may have one.
    pub(super) fn bound(&self, tenant: u64, policy: &TenantPolicy, now: Time) -> Option<Bound> {
        let Tenant { in_flight, used_to, .. } = self.tenants.get(&tenant)?;
        if *in_flight >= policy.concurrency {
            return Some(Bound::Concurrency);
        }
        let (left, until) = policy.quota?.left(*used_to, now);
        (left == 0).then_some(Bound::Rate { until })
    }

    /// It was not started after all, and uses nothing of the tenant's rate.
    pub(super) fn gave_back(&mut self, tenant: u64, policy: &TenantPolicy) {
        if let (Some(tenant), Some(quota)) = (self.tenants.get_mut(&tenant), policy.quota) {
            tenant.used_to = tenant.used_to.saturating_sub(quota.interval_nanos());
        }
    }

    /// The tenant's rate has something left again.
    pub(super) fn replenished(&mut self, id: u64) {
        if let Some(tenant) = self.tenants.get_mut(&id) {
            tenant.waits = false;
            self.give_turn(id);
        }
    }

    /// Forgets who has nothing here and may do all that its rate allows, once there are many.
    fn forget_idle(&mut self, now: Time) {
        if self.tenants.len() <= self.forget_at.max(REMEMBERED) {
            return;
        }
        let now = nanos(now);
        self.tenants.retain(|_, tenant| {
            tenant.in_flight > 0 || !tenant.lanes.is_empty() || tenant.waits || tenant.has_turn || tenant.used_to > now
        });
        self.forget_at = 2 * self.tenants.len();
    }
}

/// Attempts of a tenant per second, after a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// At least 1.
    pub per_second: u32,
    /// At least 1.
    pub burst: u32,
}

impl Quota {
    const fn interval_nanos(self) -> u64 {
        1_000_000_000 / self.per_second as u64
    }

    /// Attempts that may begin now; if none may, when the next one may.
    fn left(self, used_to: u64, now: Time) -> (usize, Time) {
        let (interval, at) = (self.interval_nanos(), nanos(now));
        let horizon = at + interval * u64::from(self.burst);
        let left = horizon.saturating_sub(used_to.max(at)) / interval;
        let until = (used_to + interval).saturating_sub(interval * u64::from(self.burst));
        (usize::try_from(left).unwrap_or(usize::MAX), Time(until.div_ceil(1_000)).max(now))
    }

    fn used(self, used_to: u64, now: Time, attempts: usize) -> u64 {
        used_to.max(nanos(now)) + self.interval_nanos() * attempts as u64
    }
}

/// [`Time`] counts microseconds.
const fn nanos(at: Time) -> u64 {
    at.0 * 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: TenantPolicy = TenantPolicy { concurrency: usize::MAX, quota: None };

    fn lane(index: u32) -> LaneRef {
        (PartitionId(0), Epoch(1), index)
    }

    /// Takes turns until nobody has one: the lanes in their order.
    fn all(ready: &mut Ready, policy: &TenantPolicy) -> Vec<u32> {
        std::iter::from_fn(|| match ready.next(policy, Time(0)) {
            Turn::Runs((_, _, index), _) => Some(index),
            Turn::Waits { .. } | Turn::Nobody => None,
        })
        .collect()
    }

    #[test]
    fn tenants_take_turns_however_many_lanes_they_have() {
        let mut ready = Ready::default();
        (0..5).for_each(|index| ready.push(1, lane(index)));
        ready.push(2, lane(10));
        ready.push(3, lane(20));
        ready.push(2, lane(11));
        assert_eq!(all(&mut ready, &MANY), [0, 10, 20, 1, 11, 2, 3, 4]);
        assert!(ready.is_empty());
    }

    #[test]
    fn a_tenant_at_its_bound_has_no_turn_until_one_of_its_records_is_back() {
        let policy = TenantPolicy { concurrency: 2, ..MANY };
        let mut ready = Ready::default();
        (0..3).for_each(|index| ready.push(1, lane(index)));
        assert_eq!(ready.next(&policy, Time(0)), Turn::Runs(lane(0), 2));
        ready.started(1, 2, &policy, Time(0));
        ready.push(2, lane(10));
        assert_eq!(ready.next(&policy, Time(0)), Turn::Runs(lane(10), 2));
        assert_eq!(ready.next(&policy, Time(0)), Turn::Nobody);
        let bound = |ready: &Ready, tenant| ready.bound(tenant, &policy, Time(0));
        assert_eq!((bound(&ready, 1), bound(&ready, 2)), (Some(Bound::Concurrency), None));
        ready.ended(1, Time(0));
        assert_eq!(bound(&ready, 1), None);
        assert_eq!(ready.next(&policy, Time(0)), Turn::Runs(lane(1), 1));
    }

    #[test]
    fn a_rate_lets_a_burst_through_and_then_one_after_another() {
        let policy = TenantPolicy { quota: Some(Quota { per_second: 10, burst: 3 }), ..MANY };
        let mut ready = Ready::default();
        (0..3).for_each(|index| ready.push(1, lane(index)));
        assert_eq!(ready.next(&policy, Time(0)), Turn::Runs(lane(0), 3));
        ready.started(1, 3, &policy, Time(0));
        let until = Time(100_000);
        assert_eq!(ready.next(&policy, Time(0)), Turn::Waits { tenant: 1, until });
        assert_eq!(ready.bound(1, &policy, Time(0)), Some(Bound::Rate { until }));
        assert_eq!(ready.bound(1, &policy, until), None);
        assert_eq!(ready.next(&policy, Time(0)), Turn::Nobody);
        ready.replenished(1);
        assert_eq!(ready.next(&policy, until), Turn::Runs(lane(1), 1));
        ready.started(1, 1, &policy, until);
        ready.gave_back(1, &policy);
        assert_eq!(ready.next(&policy, until), Turn::Runs(lane(2), 1), "what was not started uses nothing");
    }

    #[test]
    fn idle_tenants_are_forgotten_once_there_are_many() {
        let mut ready = Ready::default();
        for tenant in 0..100_000 {
            ready.push(tenant, lane(0));
            ready.next(&MANY, Time(0));
            ready.started(tenant, 1, &MANY, Time(0));
            ready.ended(tenant, Time(0));
        }
        assert!(ready.tenants.len() <= 2 * REMEMBERED, "{}", ready.tenants.len());
    }

    #[test]
    fn whoever_is_not_idle_is_remembered_and_so_are_few() {
        let held = TenantPolicy { concurrency: 1, quota: Some(Quota { per_second: 1, burst: 1 }) };
        let mut ready = Ready::default();
        let now = Time(10_000_000);
        let [runs, has_lanes, waits, used] = [1, 2, 3, 4];
        ready.carried_over(runs);
        ready.push(has_lanes, lane(2));
        ready.started(used, 1, &held, now);
        ready.ended(used, now);
        ready.push(waits, lane(3));
        ready.started(waits, 1, &held, now);
        ready.ended(waits, now);
        assert_eq!(ready.next(&held, now), Turn::Runs(lane(2), 1));
        ready.push(has_lanes, lane(2));
        let until = Time(11_000_000);
        assert_eq!(ready.next(&held, now), Turn::Waits { tenant: waits, until });
        let busy = ready.tenants.len();
        let idle = |ready: &mut Ready, tenant| {
            ready.started(tenant, 1, &MANY, now);
            ready.ended(tenant, now);
        };
        idle(&mut ready, 10);
        assert_eq!(ready.tenants.len(), busy + 1, "few are not looked through");
        (11..11 + (REMEMBERED - busy) as u64).for_each(|tenant| idle(&mut ready, tenant));
        assert_eq!((ready.tenants.len(), ready.forget_at), (busy, 2 * busy));
        let bound = |tenant| ready.bound(tenant, &held, now);
        assert_eq!(
            [runs, used, waits].map(bound),
            [Some(Bound::Concurrency), Some(Bound::Rate { until }), Some(Bound::Rate { until })]
        );
        assert_eq!(all(&mut ready, &MANY), [2]);
        ready.replenished(waits);
        assert_eq!(all(&mut ready, &MANY), [3]);
    }

    #[test]
    fn runs_are_as_long_as_their_records_are_quick() {
        let mut pace = Pace::default();
        assert!(pace.run() > 1_000, "nothing is known yet");
        (0..100).for_each(|_| pace.note(Duration::from_micros(20)));
        assert!((90..=110).contains(&pace.run()), "{}", pace.run());
        (0..100).for_each(|_| pace.note(Duration::from_millis(10)));
        assert_eq!(pace.run(), 1);
    }
}
