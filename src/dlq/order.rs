//! What a command is asked to do with letters, and what it needs for that.

use std::borrow::Cow;
use std::num::NonZeroU32;
use std::time::Duration;

use rdkafka::ClientConfig;

use super::{Fate, Letter, Refusal, Reported, Selection, Sources, Standing};
use crate::dispatch::Routes;
use crate::dispatch::hop::Origin;
use crate::kafka::scan::{Progress, Reader, Stretch};
use crate::schema::Codec;
use crate::schema::payloads::{Intervention, InterventionKind, LetterState, Place};

/// The cluster and what is known of it.
#[derive(Debug)]
pub struct Cluster {
    pub reader: Reader,
    /// Names the cluster and how to log in.
    pub client: ClientConfig,
    pub codec: Codec,
    pub id: String,
    /// Where audit records go.
    pub audit_topic: &'static str,
}

impl Cluster {
    /// The audit record of what was done with a letter, as its state has it.
    pub(super) fn intervention(
        &self,
        letter: &Letter,
        state: &LetterState,
        action: InterventionKind,
    ) -> Intervention<'static> {
        let owned = |text: &Option<String>| text.clone().map(Cow::Owned);
        let place = |origin: &Origin| Place {
            topic: origin.topic.clone().into(),
            partition: origin.partition,
            offset: origin.offset,
        };
        Intervention {
            cluster_id: self.id.clone().into(),
            action,
            topic: state.topic.clone().into(),
            partition: state.partition,
            offset: state.offset,
            by: state.by.clone().into(),
            reason: owned(&state.reason),
            redrive: state.redrive,
            origin: letter.origin.as_ref().map(place),
            sent_to: None,
            event_id: owned(&state.event_id),
            event_type: owned(&letter.event_type),
            source: owned(&letter.source),
            correlation_id: owned(&letter.correlation_id),
            error_class: owned(&letter.class),
            at: state.since,
        }
    }
}

/// Who acts, and why.
#[derive(Clone, Debug)]
pub struct Actor {
    pub by: String,
    pub reason: Option<String>,
}

/// Which letters of one topic are meant.
#[derive(Clone, Copy, Debug)]
pub struct Meant<'a> {
    /// A dead-letter topic, or that of unprocessed events.
    pub topic: &'a str,
    pub stretches: &'a [Stretch],
    pub selection: &'a Selection,
    /// They were named one by one: whoever did so is told of each that nothing is done with.
    pub is_named: bool,
}

/// Which of the letters that are meant are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sends {
    /// Those that nobody has acted on. What was sent before is waited for.
    Waiting,
    /// None: what was sent before is waited for.
    Nothing,
    /// Those that were sent longer ago than this and whose outcome has not come: once more.
    Lost(Duration),
}

/// How letters are sent again.
#[derive(Debug)]
pub struct Order {
    pub actor: Actor,
    pub action: InterventionKind,
    /// The consumer group whose outcomes count, and where it stood before anything else was asked.
    pub group: Standing,
    /// Records that are sent per second, at most.
    pub rate: NonZeroU32,
    /// Records whose outcome is awaited at a time, at most.
    pub awaited_max: usize,
    /// How long the outcome of each is awaited; `None`: not at all.
    pub patience: Option<Duration>,
    /// Which letters are sent.
    pub sends: Sends,
    /// Where letters go that do not say where they came from.
    pub into: Option<String>,
    pub sources: Sources,
    /// A letter that none of these takes stays where it is.
    pub routes: Option<Routes>,
}

impl Order {
    /// The fate of a letter that was sent, as long as nothing is heard of it.
    pub(super) fn nothing_heard(&self) -> Fate {
        if self.patience.is_some() { Fate::NoOutcome { last: None } } else { Fate::Sent }
    }

    /// Whether a letter of this state is sent.
    ///
    /// # Errors
    /// It would be, if it were not still waiting to be handled.
    pub(super) fn takes(&self, state: Option<&LetterState>, now_ms: i64) -> Result<bool, Refusal> {
        match (self.sends, state) {
            (Sends::Waiting, state) => Ok(state.is_none()),
            (Sends::Nothing, _) | (Sends::Lost(_), None) => Ok(false),
            (Sends::Lost(after), Some(state)) => self.group.is_lost(state, after, now_ms),
        }
    }

    /// The topic that the letter is to be sent to.
    pub(super) fn destination<'a>(&'a self, letter: &'a Letter) -> Result<&'a str, Refusal> {
        let topic = letter.destination(self.into.as_deref(), &self.sources)?;
        let Some(routes) = &self.routes else { return Ok(topic) };
        let (Some(event_type), Some(source)) = (&letter.event_type, &letter.source) else {
            return Err(Refusal::NoEvent);
        };
        match routes.find(topic, event_type, source) {
            Some(id) if !routes.route(id).enabled => {
                Err(Refusal::RouteDisabled { route: routes.route(id).name.clone() })
            }
            Some(_) => Ok(topic),
            None => Err(Refusal::NoRoute { event_type: event_type.clone(), event_source: source.clone() }),
        }
    }
}

/// What is heard of a command while it runs.
#[derive(Debug)]
pub enum Heard {
    /// A letter has come to its end.
    Ended(Box<Reported>),
    Progress {
        read: Progress,
        sent: u64,
        awaited: usize,
    },
    /// Letters that were sent by earlier commands, and whose outcome, which was seen then, is another one than processed.
    Before {
        count: u64,
    },
    /// A record of the audit topic that cannot be read, and why.
    Rubbish {
        place: String,
        why: String,
    },
    /// Letters of which the filter could not be asked, and why of the first.
    Undecided {
        count: u64,
        first: String,
    },
}
