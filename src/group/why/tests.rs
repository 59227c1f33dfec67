//! One situation a test, with the sentence that people read.

use std::collections::BTreeMap;

use expect_test::{Expect, expect};

use super::*;
use crate::kafka::{GroupFacts, GroupLag, Member, Membership};
use crate::schema::sample;

const NOW: i64 = 1_763_740_900_000;

/// Partition 3 of `coafi.git`, of which replica `a` has polled up to 50; offset 42 is the lowest, for 100 s.
struct Situation {
    facts: GroupFacts,
    report: Option<ReplicaStatus>,
}

impl Situation {
    fn new() -> Self {
        let topic = "coafi.git".to_owned();
        let offsets = PartitionOffsets {
            topic,
            partition: 3,
            committed: Some(42),
            start: 0,
            end: 60,
            oldest_ms: Some(NOW - 100_000),
        };
        let partitions = BTreeMap::from([("coafi.git".to_owned(), vec![3])]);
        let (client_id, host) = ("coafi-a".to_owned(), "10.0.0.7".to_owned());
        let member = Member { client_id, host, partitions, ..Member::default() };
        let membership = Membership { state: "Stable".to_owned(), members: vec![member] };
        let lag = GroupLag { partitions: vec![offsets] };
        let facts = GroupFacts { lag, membership, ..GroupFacts::default() };
        let mut report = sample::replica_status();
        (report.reported_at, report.turned_at, report.looked_at) = (NOW - 500, NOW - 510, NOW - 600);
        report.trouble = None;
        let partition = &mut report.partitions[0];
        (partition.head, partition.head_since) = (Some(42), Some(NOW - 100_000));
        partition.reasons.clear();
        Self { facts, report: Some(report) }
    }

    fn report(&mut self) -> &mut ReplicaStatus {
        self.report.as_mut().unwrap()
    }

    fn partition(&mut self) -> &mut ReplicaPartition {
        &mut self.report().partitions[0]
    }

    /// With this reason of the lowest record.
    fn because(kind: &str, change: impl FnOnce(&mut ReplicaReason)) -> Self {
        let mut situation = Self::new();
        let mut reason = ReplicaReason {
            kind: kind.to_owned(),
            offset: Some(42),
            records: 3,
            route: Some("commits".to_owned()),
            limit: Some("each handler may take 30s".to_owned()),
            ..ReplicaReason::default()
        };
        change(&mut reason);
        situation.partition().reasons = vec![reason];
        situation
    }

    fn found(&self) -> Vec<Finding> {
        let reports: Vec<ReplicaStatus> = self.report.iter().cloned().collect();
        why(&View { group: "coafi", facts: &self.facts, reports: &reports, now_ms: NOW })
    }

    fn says(&self, expected: Expect) {
        let texts = self.found().into_iter().map(|f| format!("{}: {}\n{}\n", f.reason, f.text.why, f.text.action));
        expected.assert_eq(&texts.collect::<String>());
    }

    fn moves(&self) {
        assert_eq!(self.found(), []);
    }
}

fn failed(reason: &mut ReplicaReason) {
    reason.attempts = 2;
    reason.error_class = Some("transient".to_owned());
    reason.error_code = Some("timeout".to_owned());
    reason.error = Some("no answer {within} 5s".to_owned());
}

#[test]
fn a_handler_that_takes_long() {
    Situation::because("handler", |_| ()).says(expect![[r#"
        handler: Record 42 has been with its handler for 1 min 40 s (route commits; each handler may take 30s). 2 more of its key wait behind it.
        Wait for its deadline, or see what the handler waits for: the replica's log names the event.
    "#]]);
}

#[test]
fn a_tenant_that_has_all_that_it_may_have() {
    let mut acme = Situation::because("tenant", |reason| {
        reason.tenant = Some("acme".to_owned());
        reason.limit = Some("2 in flight, 1/s, burst 1".to_owned());
    });
    acme.says(expect![[r#"
        tenant: Record 42 has been the lowest for 1 min 40 s: tenant acme has as much as route commits lets each tenant have (2 in flight, 1/s, burst 1 per replica), and 3 records wait. Other tenants go on.
        Wait: it goes on as its records end, or as its rate has something left again. If it is to have more, raise `tenant` of the route in handler_routes.yaml.
    "#]]);
    acme.partition().reasons[0].tenant = None;
    assert!(acme.found()[0].text.why.contains("the tenant of all events that name none has as much as"));
    acme.partition().head_since = Some(NOW - 1_000);
    acme.moves();
}

#[test]
fn what_moves_or_has_nothing_left_is_not_found() {
    let mut done = Situation::because("handler", |_| ());
    done.facts.lag.partitions[0].committed = Some(60);
    done.moves();
    let mut moving = Situation::because("handler", |_| ());
    moving.partition().head_since = Some(NOW - 1_000);
    moving.moves();
    let mut other_key = Situation::because("parked", |reason| reason.offset = Some(45));
    other_key.partition().head_since = Some(NOW - 1_000);
    other_key.moves();
    let mut idle = Situation::new();
    (idle.partition().head, idle.partition().head_since) = (None, None);
    idle.moves();
}

#[test]
fn topics_and_positions_that_are_gone() {
    let mut missing = Situation::new();
    missing.facts.lag.partitions.clear();
    missing.facts.missing.push("coafi.api".to_owned());
    missing.says(expect![[r#"
        missing_topic: There is no topic coafi.api.
        Make it with `coafi topics apply`.
    "#]]);
    let mut passed = Situation::new();
    (passed.facts.membership, passed.report) = (Membership::default(), None);
    passed.facts.lag.partitions[0].start = 50;
    passed.says(expect![[r#"
        passed: Nobody handles it, and retention has passed its position 42: the oldest record that is left is 50.
        Start `coafi consume`: it records what is lost, and halts unless the routes say `on_loss: continue`.
    "#]]);
}

#[test]
fn nobody_has_it() {
    let mut never = Situation::new();
    (never.facts.membership, never.report) = (Membership { state: "Empty".to_owned(), members: vec![] }, None);
    never.says(expect![[r#"
        nobody: Nobody handles it: group coafi has no member.
        Start `coafi consume`.
    "#]]);
    let mut killed = Situation::new();
    killed.facts.membership = Membership { state: "Empty".to_owned(), members: vec![] };
    killed.report().reported_at = NOW - 70_000;
    killed.says(expect![[r#"
        nobody: Nobody handles it: group coafi has no member; replica a had it, and has not reported for 1 min 10 s.
        If process 7 on node-1 is still there, it hangs or is cut off from Kafka: let it go on or end it. Then start `coafi consume`.
    "#]]);
    (killed.report().state, killed.report().trouble) = ("failed".to_owned(), Some("another has its slot".to_owned()));
    killed.says(expect![[r#"
        nobody: Nobody handles it: group coafi has no member; replica a had it, and has not reported for 1 min 10 s. It ended: another has its slot.
        If process 7 on node-1 is still there, it hangs or is cut off from Kafka: let it go on or end it. Then start `coafi consume`.
    "#]]);
    let mut rebalancing = Situation::new();
    rebalancing.facts.membership.state = "PreparingRebalance".to_owned();
    rebalancing.facts.membership.members[0].partitions.clear();
    rebalancing.report().partitions.clear();
    rebalancing.says(expect![[r#"
        rebalancing: Group coafi is rebalancing, and nobody has it meanwhile.
        Wait: a member that does not answer is given up after its session timeout. If it lasts, see the replicas' logs.
    "#]]);
    rebalancing.facts.membership.state = "Stable".to_owned();
    rebalancing.says(expect![[r#"
        unowned: Group coafi has members, and none of them takes topic coafi.git.
        See with `coafi routes lint` whether a route takes its events, and start the replicas anew with these routes.
    "#]]);
}

#[test]
fn its_replica_as_a_whole() {
    let mut unreported = Situation::new();
    unreported.report = None;
    unreported.says(expect![[r#"
        unreported: Member coafi-a at 10.0.0.7 has it, as the group says, and has not reported anything yet.
        Look at its process: if it hangs since its start, or is cut off from Kafka, end it: another replica takes over, and nothing is lost. If it works, it is of a version without reports, or topic coafi.status or its schema is missing: `coafi topics apply`, `coafi schemas register`.
    "#]]);
    let mut frozen_at_once = Situation::new();
    frozen_at_once.report().reported_at = NOW - 7_200_000;
    frozen_at_once.report().partitions.clear();
    frozen_at_once.says(expect![[r#"
        not_reporting: Replica a has it, as the group says, and has reported nothing of it: its last report is 2 h old, from before.
        Look at its process on node-1 (process 7, unless it was started again since): if it hangs, or is cut off from Kafka, end it: another replica takes over, and nothing is lost.
    "#]]);
    let mut stopped = Situation::because("handler", |_| ());
    (stopped.report().reported_at, stopped.report().turned_at) = (NOW - 30_000, NOW - 30_000);
    stopped.says(expect![[r#"
        not_reporting: Replica a has it and has not reported for 30 s: its process hangs, or is cut off from Kafka.
        Look at process 7 on node-1. If it does not go on, end it: another replica takes over, and nothing is lost.
    "#]]);
    let mut hangs = Situation::because("handler", |_| ());
    hangs.report().turned_at = NOW - 20_000;
    hangs.says(expect![[r#"
        hangs: The poll loop of replica a, which has it, has not come round for 20 s.
        End process 7 on node-1 and start it again: another replica takes over meanwhile, and nothing is lost.
    "#]]);
    let mut joining = Situation::new();
    (joining.report().state, joining.report().trouble) =
        ("joining".to_owned(), Some("no broker answers: x".to_owned()));
    joining.says(expect![[r#"
        trouble: Replica a, which has it, cannot work: no broker answers: x.
        Mend that; the replica goes on by itself.
    "#]]);
}

#[test]
fn a_replica_is_known_by_what_it_says_where_its_client_id_does_not_name_it() {
    let mut named = Situation::because("handler", |_| ());
    let replica = |situation: &Situation| {
        let found = situation.found().remove(0);
        (found.reason, found.replica.unwrap())
    };
    let is = |reason: &str, replica: &str| (reason.to_owned(), replica.to_owned());
    for client_id in ["events", "coafi-production"] {
        named.facts.membership.members[0].client_id = client_id.to_owned();
        assert_eq!(replica(&named), is("handler", "a"), "{client_id}");
    }
    named.report().reported_at = NOW - 30_000;
    assert_eq!(replica(&named), is("unreported", "coafi-production"), "it may be the slot `production`");
    named.facts.membership.members[0].client_id = "events".to_owned();
    assert_eq!(replica(&named), is("not_reporting", "a"));
    named.report().partitions.clear();
    assert_eq!(replica(&named), is("unreported", "events"), "nobody has said that it has it");
}

#[test]
fn what_wants_a_person() {
    Situation::because("halted", failed).says(expect![[r#"
        halted: Record 42 is halted after attempt 2 (transient, timeout: no answer {within} 5s), as route commits says. 2 more of its key wait behind it.
        Mend what it fails for, give the route more attempts or `exhausted: dead_letter`: replicas take a changed routes file up by themselves.
    "#]]);
    Situation::because("disabled", |_| ()).says(expect![[r#"
        disabled: Route commits is disabled: 3 records wait for it, from 42 on.
        Enable it in handler_routes.yaml: replicas take the file up by themselves.
    "#]]);
    Situation::because("events_lost", |_| ()).says(expect![[r#"
        events_lost: Retention has taken records before they were handled, and the routes do not say go on.
        See what is lost in the audit record EVENT_LOST. To go on, set `on_loss: continue` in the topic's routes and start the replicas again.
    "#]]);
    Situation::because("unplaced", |reason| reason.error = Some("an offset is pending".to_owned())).says(expect![[r#"
        unplaced: Replica a has it and does not know yet where it begins (an offset is pending).
        Wait: what a replica that was killed left open ends after kafka.transaction_timeout, or when that replica is started again with its slot. If it lasts for a minute more, a transaction hangs: docs/operations.md, "A transaction that never ends".
    "#]]);
}

#[test]
fn outages() {
    let down = |dependency: &str| {
        let (dependency, error) = (dependency.to_owned(), "connection refused".to_owned());
        Situation::because("outage", |reason| {
            (reason.dependency, reason.since, reason.error) = (Some(dependency), Some(NOW - 200_000), Some(error));
        })
    };
    down("database").says(expect![[r#"
        outage: The database is down for 3 min 20 s (connection refused): 3 records wait (route commits), and no attempt is used.
        Bring the database back (database.url); replicas notice within two seconds.
    "#]]);
    down("ledger").says(expect![[r#"
        outage: The ledger is down for 3 min 20 s (connection refused): 3 records wait (route commits), and no attempt is used.
        See why topic coafi.bitt.records takes no records: its brokers, its in-sync replicas, its permissions.
    "#]]);
    down("schema:coafi.bitt-org.coafi.Some").says(expect![[r#"
        outage: The schema registry answers, but schema:coafi.bitt-org.coafi.Some cannot be used for 3 min 20 s (connection refused): 3 records wait (route commits), and no attempt is used.
        Register it: coafi schemas register (coafi schemas check says what it refuses); replicas notice within two seconds.
    "#]]);
    down("route:commits").says(expect![[r#"
        outage: Events of route commits fail with the same error, whatever their key, for 3 min 20 s (connection refused): 3 records wait, and no attempt is used.
        See what they have in common; the next one is tried within a second.
    "#]]);
    down("crm").says(expect![[r#"
        outage: The crm is down for 3 min 20 s (connection refused): 3 records wait (route commits), and no attempt is used.
        Bring it back; replicas notice within two seconds.
    "#]]);
}

#[test]
fn a_retry_topic_is_one_lane_whatever_the_keys() {
    let mut situation = Situation::because("parked", failed);
    let topic = "coafi.git.retry.1m";
    situation.facts.lag.partitions[0].topic = topic.to_owned();
    situation.facts.membership.members[0].partitions = BTreeMap::from([(topic.to_owned(), vec![3])]);
    situation.partition().topic = topic.to_owned();
    let why = |situation: &Situation| situation.found().remove(0).text.why;
    let said = why(&situation);
    assert!(said.ends_with(" 2 more records wait behind it, whatever their keys."), "{said}");
    situation.partition().reasons[0].records = 2;
    assert!(why(&situation).contains("One more record waits behind it, whatever its key."));
}

#[test]
fn what_has_its_time() {
    let until = |reason: &mut ReplicaReason| {
        failed(reason);
        reason.until = Some(NOW + 20_000);
    };
    Situation::because("parked", until).says(expect![[r#"
        parked: Record 42 waits for 20 s, after attempt 2 has failed (transient, timeout: no answer {within} 5s). 2 more of its key wait behind it. Other keys go on.
        Wait, or mend what it fails for: the next attempt follows by itself.
    "#]]);
    Situation::because("parked", |reason| (reason.until, reason.records) = (Some(NOW + 90_000), 1)).says(expect![[
        r#"
        parked: Record 42 is not due before 1 min 30 s have passed.
        Wait: a retry topic's records have their time.
    "#
    ]]);
    Situation::because("draining", |reason| reason.until = Some(NOW + 9_000)).says(expect![[r#"
        draining: Replica a is giving it up; it is released within 9 s.
        Wait: running handlers may finish. Its next owner goes on from what is committed.
    "#]]);
}

#[test]
fn what_passes_in_good_times_and_now_does_not() {
    for kind in
        ["receipts", "window_full", "alone", "undecided", "receipt", "rebuilding", "commit", "slot", "marking", "room"]
    {
        let found = Situation::because(kind, |_| ()).found();
        assert_eq!(found[0].reason, kind);
        assert!(!found[0].text.why.contains(['{', '?']), "{found:?}");
    }
    Situation::because("window_full", |reason| reason.offset = Some(20_042)).says(expect![[r#"
        window_full: The offset map is full: nothing above record 20042 can begin until record 42 has ended.
        See why record 42 does not end (see its log); its route's `overflow` says what becomes of it if it is parked.
    "#]]);
    Situation::because("commit", |_| ()).says(expect![[r#"
        commit: What is done has not been committed for 1 min 40 s.
        See the replica's log: a topic that it writes to, or Kafka's transactions, do not work.
    "#]]);
    Situation::because("slot", |_| ()).says(expect![[r#"
        slot: Record 42 has been waiting for a free slot of route commits for 1 min 40 s (each handler may take 30s).
        See why its handlers are slow; more replicas, or more `concurrency` for the route, help if they are busy in earnest.
    "#]]);
    Situation::because("of a later version", |_| ()).says(expect![[r#"
        of a later version: Replica a names a reason that this program does not know.
        Ask with a coafi of the replica's version.
    "#]]);
}

#[test]
fn a_replica_that_names_no_reason_has_a_mistake() {
    Situation::new().says(expect![[r#"
        stands: Record 42 has been the lowest for 1 min 40 s, and replica a names no reason.
        Keep the replica's log and report this: it is a mistake of coafi's. Starting the replica again is safe.
    "#]]);
    let mut unfetched = Situation::new();
    let partition = unfetched.partition();
    (partition.head, partition.head_since, partition.polled) = (None, None, Some(42));
    unfetched.says(expect![[r#"
        not_fetched: Its oldest record was written 1 min 40 s ago, and replica a has not fetched it.
        See the replica's log for what the Kafka client says; starting the replica again is safe.
    "#]]);
}

#[test]
fn a_transaction_that_is_open_for_long_holds_readers_up() {
    let mut open = Situation::new();
    open.facts.lag.partitions[0].committed = Some(60);
    let transaction = |since: i64| OpenTransaction { from: 60, to: 75, since_ms: Some(NOW - since) };
    open.facts.open.insert(("coafi.git".to_owned(), 3), transaction(40_000));
    open.says(expect![[r#"
        open_transaction: A producer's transaction that begins at 60 has been open for 40 s: 15 offsets are not to be seen before it ends.
        Wait for its time-out, or find the producer with `kafka-transactions.sh find-hanging` and abort it. A replica that was killed ends its own when it is started again with its slot.
    "#]]);
    open.facts.open.insert(("coafi.git".to_owned(), 3), transaction(1_000));
    open.moves();
}
