//! What an output produces: its outcome record, its retry, dead-letter or unprocessed record, derived events, and the reply to
//! who waits for it.
//!
//! Deterministic: an output that is staged again renders to the same records. Nothing here fails: what does not fit a retry
//! topic becomes a dead letter, and what does not fit a dead letter is shortened until it does (see [`fit`]).
//!
//! I2: every output has exactly one outcome record.

mod derived;
mod failure_log;
mod fit;
mod forward;
mod notice;
mod outcome;
mod profile;
mod quota;
mod reply;
mod steps;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::delivery::Delivery;
use super::dispatcher::Settings;
use super::letter_notices::LetterNotices;
use super::report::Report;
use super::{ConsumedTopic, RecordLimits, Routed, dead_letter_topic, retry_topic};
use crate::bitt::Audit;
use crate::engine::{Class, Disposition, Output};
use crate::event::{Outgoing, TopicPartition};
use crate::runtime::Clock;
use crate::schema::Encoder;
use crate::schema::payloads::ApiReply;

pub(super) use failure_log::FailureLog;
pub use profile::HeaderProfile;

pub(super) type Staged = Output<Arc<Delivery>, Report>;

/// Renders outputs. Used from the producer's thread.
#[derive(Debug)]
pub(super) struct Renderer {
    audit: Arc<Audit>,
    unprocessed_topic: Arc<str>,
    limits: RecordLimits,
    profile: HeaderProfile,
    /// What encodes replies; without it there are none.
    replies: Option<Encoder<ApiReply>>,
    /// Who is told of dead letters; without it nobody is.
    notices: Option<LetterNotices>,
}

/// What an output comes to, after it is known what fits where.
pub(super) enum Ending {
    /// Nothing but its outcome.
    Audited,
    Forwarded {
        outgoing: Outgoing,
        /// The record was meant for this retry topic and does not fit it.
        instead_of: Option<String>,
    },
}

impl Ending {
    /// Whether the record is a dead letter now.
    pub(super) fn is_letter_of(&self, output: &Staged) -> bool {
        match (&output.disposition, self) {
            (Disposition::DeadLetter { .. }, _) => true,
            (_, Self::Forwarded { instead_of, .. }) => instead_of.is_some(),
            (_, Self::Audited) => false,
        }
    }
}

impl Renderer {
    pub(super) fn new(
        audit: Arc<Audit>,
        replies: Option<Encoder<ApiReply>>,
        notices: Option<LetterNotices>,
        settings: &Settings,
    ) -> Self {
        Self {
            audit,
            unprocessed_topic: settings.unprocessed_topic.as_str().into(),
            limits: settings.limits.clone(),
            profile: settings.profile,
            replies,
            notices,
        }
    }

    pub(super) fn audit(&self) -> &Audit {
        &self.audit
    }

    pub(super) fn render(&self, source: &TopicPartition, output: &Staged, clock: &Clock, into: &mut Vec<Outgoing>) {
        let ending = self.ending(source, output, clock);
        into.push(self.outcome(source, output, &ending, clock));
        into.extend(self.reply(output, &ending));
        into.extend(self.notice(source, output, &ending));
        let is_letter = ending.is_letter_of(output);
        if let Ending::Forwarded { outgoing, .. } = ending {
            into.push(outgoing);
        }
        if output.report.is_some() {
            self.derived(output, is_letter, into);
        }
    }

    fn ending(&self, source: &TopicPartition, output: &Staged, clock: &Clock) -> Ending {
        let base = ConsumedTopic::parse(&source.topic).base;
        match &output.disposition {
            Disposition::RetryTopic { tier, due, .. } => {
                let topic = retry_topic(base, delay_of(output, *tier));
                match self.retry(source, output, &topic, clock.unix_ms(*due)) {
                    Some(outgoing) => Ending::Forwarded { outgoing, instead_of: None },
                    None => {
                        let outgoing = self.dead_letter(source, output, &dead_letter_topic(base));
                        Ending::Forwarded { outgoing, instead_of: Some(topic) }
                    }
                }
            }
            Disposition::DeadLetter { .. } => {
                let outgoing = self.dead_letter(source, output, &dead_letter_topic(base));
                Ending::Forwarded { outgoing, instead_of: None }
            }
            Disposition::Unprocessed => {
                Ending::Forwarded { outgoing: self.unprocessed(source, output), instead_of: None }
            }
            Disposition::Processed
            | Disposition::Duplicate { .. }
            | Disposition::Filtered
            | Disposition::RetryInPlace { .. }
            | Disposition::Halted { .. } => Ending::Audited,
        }
    }
}

/// The delay of a retry topic: of the policy that decided on it, which may be a later one than that of the attempt.
fn delay_of(output: &Staged, tier: usize) -> std::time::Duration {
    let routed = output.payload.route.as_ref().expect("only a routed record is retried");
    routed.route().policy.retry.tiers[tier]
}

/// The route that the attempt was made under, or that takes the record.
fn routed(output: &Staged) -> Option<&Routed> {
    output.report.as_ref().map(|report| &report.route).or(output.payload.route.as_ref())
}

/// The class that an output ends with, if it failed.
const fn class_of(disposition: &Disposition) -> Option<&Class> {
    match disposition {
        Disposition::RetryInPlace { class, .. }
        | Disposition::RetryTopic { class, .. }
        | Disposition::DeadLetter { class }
        | Disposition::Halted { class } => Some(class),
        Disposition::Processed | Disposition::Duplicate { .. } | Disposition::Filtered | Disposition::Unprocessed => {
            None
        }
    }
}

/// Code, message and place of what failed, as far as it is known.
struct Fault {
    code: &'static str,
    message: String,
    location: Option<String>,
    /// Index of the handler that failed.
    handler: Option<u8>,
}

fn fault_of(output: &Staged) -> Option<Fault> {
    let class = class_of(&output.disposition)?;
    if let Some((run, refusal)) = output.report.as_ref().and_then(Report::refusal) {
        return Some(Fault {
            code: refusal.failure.code,
            message: refusal.failure.message.clone(),
            location: refusal.location.clone(),
            handler: run.handler,
        });
    }
    if output.overflow {
        let message = "it was parked after a failure, and there was no room for it in its place".to_owned();
        return Some(Fault { code: "overflow", message, location: None, handler: None });
    }
    let (code, message) = output.payload.poison().unwrap_or_else(|| match class {
        Class::Crash => ("crashed", "the record was with its handler in several processes that died".to_owned()),
        other => ("not_handled", format!("dead-lettered as {other} before its handler could run")),
    });
    Some(Fault { code, message, location: None, handler: None })
}
