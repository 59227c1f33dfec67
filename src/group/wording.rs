//! The sentences: what keeps a partition, and what to do.

use serde::Serialize;

use super::span;
use crate::dispatch::ConsumedTopic;
use crate::schema::payloads::{ReplicaPartition, ReplicaReason, ReplicaStatus};

/// For people.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Text {
    /// Why it does not move, in a sentence.
    pub why: String,
    /// What to do about it.
    #[serde(rename = "do")]
    pub action: String,
}

/// A sentence and an instruction with `{names}` to be filled in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words(&'static str, &'static str);

impl Words {
    pub(super) const MISSING_TOPIC: Self = Self("There is no topic {topic}.", "Make it with `coafi topics apply`.");
    pub(super) const PASSED: Self = Self(
        "Nobody handles it, and retention has passed its position {offset}: the oldest record that is left is {start}.",
        "Start `coafi consume`: it records what is lost, and halts unless the routes say `on_loss: continue`.",
    );
    pub(super) const NOBODY: Self = Self("Nobody handles it: group {group} has no member.", "Start `coafi consume`.");
    pub(super) const NOBODY_ANY_MORE: Self = Self(
        "Nobody handles it: group {group} has no member; replica {replica} had it, and has not reported for {age}.{ended}",
        "If process {pid} on {host} is still there, it hangs or is cut off from Kafka: let it go on or end it. Then start `coafi consume`.",
    );
    pub(super) const REBALANCING: Self = Self(
        "Group {group} is rebalancing, and nobody has it meanwhile.",
        "Wait: a member that does not answer is given up after its session timeout. If it lasts, see the replicas' logs.",
    );
    pub(super) const UNOWNED: Self = Self(
        "Group {group} has members, and none of them takes topic {topic}.",
        "See with `coafi routes lint` whether a route takes its events, and start the replicas anew with these routes.",
    );
    pub(super) const UNREPORTED: Self = Self(
        "Member {replica} at {host} has it, as the group says, and has not reported anything yet.",
        "Look at its process: if it hangs since its start, or is cut off from Kafka, end it: another replica takes over, and nothing is lost. If it works, it is of a version without reports, or topic coafi.status or its schema is missing: `coafi topics apply`, `coafi schemas register`.",
    );
    pub(super) const NOT_REPORTING: Self = Self(
        "Replica {replica} has it and has not reported for {age}: its process hangs, or is cut off from Kafka.",
        "Look at process {pid} on {host}. If it does not go on, end it: another replica takes over, and nothing is lost.",
    );
    pub(super) const NOT_REPORTING_YET: Self = Self(
        "Replica {replica} has it, as the group says, and has reported nothing of it: its last report is {age} old, from before.",
        "Look at its process on {host} (process {pid}, unless it was started again since): if it hangs, or is cut off from Kafka, end it: another replica takes over, and nothing is lost.",
    );
    pub(super) const FAILED: Self =
        Self("Replica {replica}, which has it, cannot go on: {trouble}.", "Mend that, and start the replica again.");
    pub(super) const HANGS: Self = Self(
        "The poll loop of replica {replica}, which has it, has not come round for {age}.",
        "End process {pid} on {host} and start it again: another replica takes over meanwhile, and nothing is lost.",
    );
    pub(super) const TROUBLE: Self =
        Self("Replica {replica}, which has it, cannot work: {trouble}.", "Mend that; the replica goes on by itself.");
    pub(super) const OPEN_TRANSACTION: Self = Self(
        "A producer's transaction that begins at {offset} has been open for {age}: {count} offsets are not to be seen before it ends.",
        "Wait for its time-out, or find the producer with `kafka-transactions.sh find-hanging` and abort it. A replica that was killed ends its own when it is started again with its slot.",
    );
    pub(super) const STANDS: Self = Self(
        "Record {offset} has been the lowest for {age}, and replica {replica} names no reason.",
        "Keep the replica's log and report this: it is a mistake of coafi's. Starting the replica again is safe.",
    );
    pub(super) const NOT_FETCHED: Self = Self(
        "Its oldest record was written {age} ago, and replica {replica} has not fetched it.",
        "See the replica's log for what the Kafka client says; starting the replica again is safe.",
    );

    pub(super) fn text(self, values: &[(&str, &str)]) -> Text {
        let fill = |template: &str| {
            values.iter().fold(template.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
        };
        Text { why: fill(self.0), action: fill(self.1) }
    }
}

/// Events that name no tenant are one together.
const NO_TENANT: &str = "the tenant of all events that name none";

/// What a replica says of a partition.
pub(super) fn of_reason(reason: &ReplicaReason, report: &ReplicaStatus, said: &ReplicaPartition, now_ms: i64) -> Text {
    let words = words(reason);
    let number = |number: Option<i64>| number.map_or_else(|| "?".to_owned(), |number| number.to_string());
    let since = reason.since.or(said.head_since);
    let wait = reason.until.map_or_else(|| "a while".to_owned(), |until| span(until - now_ms));
    let because = error_of(reason);
    let is_one_lane = ConsumedTopic::parse(&said.topic).tier.is_some();
    let behind = match reason.records {
        ..=1 => String::new(),
        // What is in a retry topic is handled in its order, whatever the keys.
        2 if is_one_lane => " One more record waits behind it, whatever its key.".to_owned(),
        records if is_one_lane => format!(" {} more records wait behind it, whatever their keys.", records - 1),
        2 => " One more of its key waits behind it.".to_owned(),
        records => format!(" {} more of its key wait behind it.", records - 1),
    };
    let head = said.reasons.iter().find(|other| other.offset == said.head && other.kind != reason.kind);
    let held = head.map_or_else(|| "see its log".to_owned(), |other| format!("it waits for: {}", other.kind));
    let limit = reason.limit.as_deref().unwrap_or("no limits are known");
    words.text(&[
        ("replica", &report.slot),
        ("offset", &number(reason.offset)),
        ("head", &number(said.head)),
        ("waiting", &waiting(reason.records)),
        ("behind", &behind),
        ("others", if is_one_lane { "" } else { " Other keys go on." }),
        ("route", reason.route.as_deref().unwrap_or("?")),
        ("limit", limit),
        ("tenant", &reason.tenant.as_ref().map_or_else(|| NO_TENANT.to_owned(), |tenant| format!("tenant {tenant}"))),
        ("dependency", reason.dependency.as_deref().unwrap_or("?")),
        ("attempts", &reason.attempts.to_string()),
        ("age", &since.map_or_else(|| "some time".to_owned(), |since| span(now_ms - since))),
        ("wait", &wait),
        ("held", &held),
        ("trouble", &report.trouble.as_ref().map_or_else(String::new, |trouble| format!(" It says: {trouble}."))),
        // Last: what it says may have braces.
        ("because", &because),
    ])
}

fn waiting(count: i64) -> String {
    if count == 1 { "1 record waits".to_owned() } else { format!("{count} records wait") }
}

/// ` (class, code: message)`, or nothing.
fn error_of(reason: &ReplicaReason) -> String {
    let ReplicaReason { error_class, error_code, error, .. } = reason;
    match (error_class, error_code, error) {
        (Some(class), Some(code), Some(error)) => format!(" ({class}, {code}: {error})"),
        (_, _, Some(error)) => format!(" ({error})"),
        _ => String::new(),
    }
}

fn words(reason: &ReplicaReason) -> Words {
    match &*reason.kind {
        "unplaced" => Words(
            "Replica {replica} has it and does not know yet where it begins{because}.",
            "Wait: what a replica that was killed left open ends after kafka.transaction_timeout, or when that replica is started again with its slot. If it lasts for a minute more, a transaction hangs: docs/operations.md, \"A transaction that never ends\".",
        ),
        "events_lost" => Words(
            "Retention has taken records before they were handled, and the routes do not say go on.",
            "See what is lost in the audit record EVENT_LOST. To go on, set `on_loss: continue` in the topic's routes and start the replicas again.",
        ),
        "halted" => Words(
            "Record {offset} is halted after attempt {attempts}{because}, as route {route} says.{behind}",
            "Mend what it fails for, give the route more attempts or `exhausted: dead_letter`: replicas take a changed routes file up by themselves.",
        ),
        "disabled" => Words(
            "Route {route} is disabled: {waiting} for it, from {offset} on.",
            "Enable it in handler_routes.yaml: replicas take the file up by themselves.",
        ),
        "outage" => outage(reason.dependency.as_deref().unwrap_or_default()),
        "draining" => Words(
            "Replica {replica} is giving it up; it is released within {wait}.",
            "Wait: running handlers may finish. Its next owner goes on from what is committed.",
        ),
        "parked" if reason.attempts > 0 => Words(
            "Record {offset} waits for {wait}, after attempt {attempts} has failed{because}.{behind}{others}",
            "Wait, or mend what it fails for: the next attempt follows by itself.",
        ),
        "parked" => Words(
            "Record {offset} is not due before {wait} have passed.{behind}",
            "Wait: a retry topic's records have their time.",
        ),
        "receipts" => Words(
            "What is done waits for its receipts: topic coafi.bitt.records has not acknowledged them for {age}.{trouble}",
            LEDGER,
        ),
        "window_full" => Words(
            "The offset map is full: nothing above record {offset} can begin until record {head} has ended.",
            "See why record {head} does not end ({held}); its route's `overflow` says what becomes of it if it is parked.",
        ),
        "alone" => Words(
            "Owners of this partition have died several times: its records run one at a time, to find the one that ends them.",
            "Wait: a record that three processes died of is dead-lettered as class crash. See why they ended.",
        ),
        "undecided" => Words(
            "Attempts that failed alike are held back{because}, until it is clear whether something is down.",
            "Wait: it is decided within seconds.",
        ),
        "handler" => Words(
            "Record {offset} has been with its handler for {age} (route {route}; {limit}).{behind}",
            "Wait for its deadline, or see what the handler waits for: the replica's log names the event.",
        ),
        "receipt" => {
            Words("Record {offset} waits for its receipt, which route {route} wants before its handler.", LEDGER)
        }
        "rebuilding" => Words(
            "Replica {replica} is reading the deduplication window back, before the first record may run.",
            "Wait: up to engine.dedup.window records are read. If it lasts, see the replica's log.",
        ),
        "commit" => Words(
            "What is done has not been committed for {age}.{trouble}",
            "See the replica's log: a topic that it writes to, or Kafka's transactions, do not work.",
        ),
        "tenant" => Words(
            "Record {offset} has been the lowest for {age}: {tenant} has as much as route {route} lets each tenant have ({limit} per replica), and {waiting}. Other tenants go on.",
            "Wait: it goes on as its records end, or as its rate has something left again. If it is to have more, raise `tenant` of the route in handler_routes.yaml.",
        ),
        "slot" => Words(
            "Record {offset} has been waiting for a free slot of route {route} for {age} ({limit}).",
            "See why its handlers are slow; more replicas, or more `concurrency` for the route, help if they are busy in earnest.",
        ),
        "marking" => Words(
            "The first commit of replica {replica} for it has not succeeded for {age}.{trouble}",
            "See the replica's log: Kafka's transactions do not work for it.",
        ),
        "room" => Words(
            "Replica {replica} has no room for more records: those that it holds do not end.",
            "See the other partitions of this replica: what they wait for is the reason.",
        ),
        _ => Words(
            "Replica {replica} names a reason that this program does not know{because}.",
            "Ask with a coafi of the replica's version.",
        ),
    }
}

/// What to do when audit records are not taken.
const LEDGER: &str =
    "See why topic coafi.bitt.records takes no records: its brokers, its in-sync replicas, its permissions.";

fn outage(dependency: &str) -> Words {
    const NO_ATTEMPT: &str =
        "The {dependency} is down for {age}{because}: {waiting} (route {route}), and no attempt is used.";
    let action = match dependency {
        "database" => "Bring the database back (database.url); replicas notice within two seconds.",
        "schema-registry" => {
            "Bring the schema registry back (schema_registry.url); replicas notice within two seconds."
        }
        "artifacts" => {
            "Bring the artifact store back (artifacts.url), or make room in it; replicas notice within two seconds."
        }
        "ledger" => LEDGER,
        schema if schema.starts_with("schema:") => {
            return Words(
                "The schema registry answers, but {dependency} cannot be used for {age}{because}: {waiting} (route {route}), and no attempt is used.",
                "Register it: coafi schemas register (coafi schemas check says what it refuses); replicas notice within two seconds.",
            );
        }
        route if route.starts_with("route:") => {
            return Words(
                "Events of route {route} fail with the same error, whatever their key, for {age}{because}: {waiting}, and no attempt is used.",
                "See what they have in common; the next one is tried within a second.",
            );
        }
        _ => "Bring it back; replicas notice within two seconds.",
    };
    Words(NO_ATTEMPT, action)
}
