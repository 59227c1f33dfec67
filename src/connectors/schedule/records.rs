//! Fires and ledger entries as records: the one place where decisions become payloads.

use std::sync::Arc;

use jiff::Timestamp;

use super::settings::ScheduleSettings;
use crate::connectors::{NewSourceEvent, traceparent_of};
use crate::dispatch::Failure;
use crate::event::Outgoing;
use crate::schedule::{Decision, Fire, Name, Reason, Schedule, Skip};
use crate::schema::payloads::{DecisionKind, FireReason, ScheduleDecision, ScheduleFired};
use crate::schema::{AVRO_CONTENT_TYPE, Encoder, Payload as _};

/// Encodes for one topic and its ledger.
#[derive(Clone, Debug)]
pub(super) struct Records {
    topic: Arc<str>,
    ledger: Arc<str>,
    fires: Encoder<ScheduleFired>,
    decisions: Encoder<ScheduleDecision>,
    by: String,
}

impl Records {
    /// # Errors
    /// Systemic: the schema registry does not answer or lacks the schemas.
    pub(super) async fn new(settings: &ScheduleSettings) -> Result<Self, Failure> {
        Ok(Self {
            topic: Arc::clone(&settings.topic),
            ledger: Arc::clone(&settings.ledger),
            fires: settings.codec.encoder(&settings.topic).await?,
            decisions: settings.codec.encoder(&settings.ledger).await?,
            by: settings.instance.clone(),
        })
    }

    /// What a decision makes: its fire, if it is one, and its entry in the ledger.
    ///
    /// # Errors
    /// Permanent: a payload does not fit its schema.
    pub(super) fn of(
        &self,
        schedule: &Schedule,
        decision: &Decision,
        now: Timestamp,
        into: &mut Vec<Outgoing>,
    ) -> Result<(), Failure> {
        match decision {
            Decision::Fire(fire) => {
                let reason = if fire.reason == Reason::OnTime { "on_time" } else { "missed" };
                self.fire(schedule, *fire, reason, now, into)
            }
            Decision::Skip(Skip { first, last, count, why }) => {
                let entry = ScheduleDecision {
                    due_from: Some(first.as_millisecond()),
                    due_to: Some(last.as_millisecond()),
                    count: i32::try_from(*count).unwrap_or(i32::MAX),
                    ..self.entry(&schedule.name, DecisionKind::Skipped, why.code(), now)
                };
                into.push(self.ledger(&entry)?);
                Ok(())
            }
        }
    }

    /// A fire and its entry. `reason`: why, for whoever reads the ledger.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub(super) fn fire(
        &self,
        schedule: &Schedule,
        fire: Fire,
        reason: &str,
        now: Timestamp,
        into: &mut Vec<Outgoing>,
    ) -> Result<(), Failure> {
        into.push(self.event(schedule, fire, now)?);
        let due = Some(fire.due.as_millisecond());
        let entry = ScheduleDecision {
            due_from: due,
            due_to: due,
            count: 1,
            event_id: Some(fire.id()),
            ..self.entry(&schedule.name, decision_kind(fire.reason), reason, now)
        };
        into.push(self.ledger(&entry)?);
        Ok(())
    }

    fn event(&self, schedule: &Schedule, fire: Fire, now: Timestamp) -> Result<Outgoing, Failure> {
        let name = &schedule.name;
        let span = tracing::info_span!(parent: None, "publish", schedule = %name,
            messaging.system = "kafka", messaging.operation.name = "publish", messaging.destination.name = &*self.topic);
        let payload = ScheduleFired {
            schedule: name.to_string(),
            due_at: fire.due.as_millisecond(),
            fired_at: now.as_millisecond(),
            reason: fire_reason(fire.reason),
            data: schedule.data.to_string(),
            utids: Vec::new(),
        };
        let mut data = Vec::with_capacity(128);
        self.fires.encode(&payload, &mut data)?;
        let event = NewSourceEvent {
            topic: Arc::clone(&self.topic),
            event_type: schedule.event_type.clone(),
            id: fire.id(),
            source: name.source(),
            subject: Some(name.to_string()),
            time_ms: Some(payload.due_at),
            // One schedule's fires are in order.
            key: name.to_string(),
            correlation_id: None,
            utids: Vec::new(),
            reply_to: None,
            tenant: None,
            content_type: AVRO_CONTENT_TYPE,
            data: data.into(),
        };
        Ok(event.into_record(&traceparent_of(&span)))
    }

    /// An entry about no due time in particular.
    pub(super) fn entry(&self, name: &Name, decision: DecisionKind, reason: &str, now: Timestamp) -> ScheduleDecision {
        ScheduleDecision {
            schedule: name.to_string(),
            decision,
            reason: reason.to_owned(),
            due_from: None,
            due_to: None,
            count: 0,
            event_id: None,
            by: self.by.clone(),
            at: now.as_millisecond(),
        }
    }

    /// # Errors
    /// As [`Self::of`].
    pub(super) fn ledger(&self, entry: &ScheduleDecision) -> Result<Outgoing, Failure> {
        let mut data = Vec::with_capacity(128);
        self.decisions.encode(entry, &mut data)?;
        let about = entry.due_from.unwrap_or(entry.at);
        let record = NewSourceEvent {
            topic: Arc::clone(&self.ledger),
            event_type: ScheduleDecision::EVENT_TYPE.to_owned(),
            id: format!("{}/{}/{about}", entry.schedule, entry.decision.name()),
            source: format!("/coafi/schedules/{}", entry.schedule),
            subject: Some(entry.schedule.clone()),
            time_ms: Some(entry.at),
            key: entry.schedule.clone(),
            correlation_id: entry.event_id.clone(),
            utids: Vec::new(),
            reply_to: None,
            tenant: None,
            content_type: AVRO_CONTENT_TYPE,
            data: data.into(),
        };
        Ok(record.into_record(&traceparent_of(&tracing::Span::none())))
    }
}

const fn fire_reason(reason: Reason) -> FireReason {
    match reason {
        Reason::OnTime => FireReason::Fired,
        Reason::CaughtUp => FireReason::CaughtUp,
        Reason::Backfilled => FireReason::Backfilled,
        Reason::Triggered => FireReason::Triggered,
    }
}

const fn decision_kind(reason: Reason) -> DecisionKind {
    match reason {
        Reason::OnTime => DecisionKind::Fired,
        Reason::CaughtUp => DecisionKind::CaughtUp,
        Reason::Backfilled => DecisionKind::Backfilled,
        Reason::Triggered => DecisionKind::Triggered,
    }
}
