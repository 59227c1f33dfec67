//! Says in the log what failed: one line per event that was retried, dead-lettered, halted or not processed, once its outcome
//! is committed, with all that is needed to find it again.
//!
//! A flood of failures is no flood of lines: see [`Quota`]. Every text in a line is bounded, and so is the line.

use std::sync::{Arc, Mutex, PoisonError};

use tracing::{error, info, warn};

use super::quota::Quota;
use super::{Ending, Fault, Renderer, Staged, class_of, fault_of, routed};
use crate::dispatch::redaction::Redaction;
use crate::dispatch::{DispatcherSettings as Settings, Report};
use crate::engine::Disposition;
use crate::runtime::Clock;

/// Of an id, a source, a type or a correlation id.
const MAX_NAME_BYTES: usize = 256;
/// Of an error message, and of the single errors of a validation together.
const MAX_MESSAGE_BYTES: usize = 2_048;

/// What is said, and how much of it.
#[derive(Debug)]
pub(in crate::dispatch) struct FailureLog {
    quota: Mutex<Quota>,
    /// How much of an event's data is shown, in bytes; 0 for none.
    payload_bytes: usize,
    redaction: Arc<Redaction>,
    replaying: bool,
}

/// How bad it is.
#[derive(Clone, Copy, Debug)]
enum What {
    Retried,
    Unprocessed,
    DeadLettered,
    Halted,
}

impl FailureLog {
    pub(in crate::dispatch) fn new(settings: &Settings) -> Self {
        Self {
            quota: Mutex::default(),
            payload_bytes: settings.logged_payload_bytes,
            redaction: Arc::clone(&settings.redaction),
            replaying: settings.replaying,
        }
    }

    /// Costs nothing for an event that did not fail.
    pub(in crate::dispatch) fn tell(&self, renderer: &Renderer, output: &Staged, clock: &Clock) {
        let what = match &output.disposition {
            Disposition::Processed | Disposition::Duplicate { .. } | Disposition::Filtered => return,
            Disposition::RetryInPlace { .. } | Disposition::RetryTopic { .. } => What::Retried,
            Disposition::Unprocessed => What::Unprocessed,
            Disposition::DeadLetter { .. } => What::DeadLettered,
            Disposition::Halted { .. } => What::Halted,
        };
        let fault = fault_of(output);
        let code = fault.as_ref().map_or("unprocessed", |fault| fault.code);
        let admitted = self.quota.lock().unwrap_or_else(PoisonError::into_inner).admit(code, clock.now());
        let Some(suppressed) = admitted else { return };
        self.line(what, renderer, output, fault, suppressed, clock);
    }

    fn line(
        &self,
        mut what: What,
        renderer: &Renderer,
        output: &Staged,
        fault: Option<Fault>,
        suppressed: u64,
        clock: &Clock,
    ) {
        let record = output.payload.record();
        let source = record.topic_partition();
        let to = match renderer.ending(&source, output, clock) {
            Ending::Forwarded { outgoing, instead_of } => {
                if instead_of.is_some() {
                    what = What::DeadLettered;
                }
                (!self.replaying).then_some(outgoing.topic)
            }
            Ending::Audited => None,
        };
        let event = output.payload.event();
        let of_event = |text: Option<&str>| text.map(|text| cut(text, MAX_NAME_BYTES).to_owned());
        let refusal = output.report.as_ref().and_then(Report::refusal).map(|(_, refusal)| refusal);
        let errors = refusal.map(|refusal| refusal.failure.errors.join("; ")).filter(|errors| !errors.is_empty());
        let (code, message, location) = match &fault {
            Some(fault) => (fault.code, fault.message.clone(), fault.location.as_deref()),
            None => ("unprocessed", Renderer::reason(output), None),
        };
        let value = record.value().unwrap_or_default();
        let shown = self.payload_bytes > 0 && self.redaction.shows(event);
        let payload = shown.then(|| value[..value.len().min(self.payload_bytes)].escape_ascii().to_string());
        // A level is part of where a line is written in the code, so each has its own.
        macro_rules! say {
            ($level:ident, $text:literal) => {
                $level!(
                    event_id = of_event(event.map(|event| event.id())),
                    event_type = of_event(event.map(|event| event.event_type())),
                    source = of_event(event.map(|event| event.source())),
                    correlation_id = of_event(event.map(|event| event.correlation_id())),
                    topic = %source.topic,
                    partition = source.partition,
                    offset = output.ticket.offset.0,
                    attempt = output.attempt,
                    route = routed(output).map(|routed| routed.route().name.as_str()),
                    class = class_of(&output.disposition).map(crate::engine::Class::name),
                    code,
                    error = cut(&message, MAX_MESSAGE_BYTES),
                    errors = errors.as_deref().map(|errors| cut(errors, MAX_MESSAGE_BYTES)),
                    location,
                    to = to.as_deref(),
                    payload,
                    payload_bytes = value.len(),
                    suppressed = (suppressed > 0).then_some(suppressed),
                    $text
                )
            };
        }
        match what {
            What::Retried => say!(info, "an attempt failed and is followed by another"),
            What::Unprocessed => say!(warn, "an event was not processed: no route takes it"),
            What::DeadLettered if self.replaying => {
                say!(error, "an event failed for good; a replay writes no dead letters")
            }
            What::DeadLettered => say!(error, "an event was dead-lettered"),
            What::Halted => say!(error, "an event is halted: its lane stands still, by its route's policy"),
        }
    }
}

fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}
