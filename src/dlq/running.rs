//! A redrive while it runs: letters are read and sent as pace and room allow, outcomes are seen, and what is late is given up.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::lookback;
use super::order::{Cluster, Heard, Order, Sends};
use super::original::Original;
use super::pace::Pace;
use super::placing::{self, Births};
use super::redrive::{RedriveError, say_undecided};
use super::selection::{Letters, Next};
use super::watch::Watch;
use super::writer::{Sending, WriteError, Writer};
use super::{Fate, Letter, LetterId, Refusal, Reported, States};
use crate::bitt::outcome_key;
use crate::event::Record;
use crate::kafka::scan::{Bound, ScanError, Wanted};
use crate::runtime::unix_ms;
use crate::schema::payloads::{LetterState, LetterStatus, Outcome, OutcomeKind, Place};

/// Letters of one transaction.
const BATCH_MAX: usize = 100;
/// How long reading goes on before outcomes are looked at again, and the other way round.
const TURN: Duration = Duration::from_millis(50);

/// What a redrive begins with.
pub(super) struct Start<'a> {
    pub(super) writer: Writer,
    pub(super) states: States,
    pub(super) watch: Watch,
    pub(super) letters: Letters<'a>,
    pub(super) under_way: BTreeMap<Place<'static>, LetterId>,
    pub(super) is_named: bool,
}

pub(super) struct Running<'a, F> {
    cluster: &'a Cluster,
    order: &'a Order,
    heard: F,
    writer: Writer,
    states: States,
    watch: Watch,
    letters: Letters<'a>,
    pace: Pace,
    /// Everything that was sent and has no outcome yet, by where it stands now.
    under_way: BTreeMap<Place<'static>, LetterId>,
    /// What this command waits for.
    awaited: BTreeMap<LetterId, Awaited>,
    /// States that are to be written: outcomes that were seen.
    settled: Vec<LetterState>,
    /// Of topics where growth may have taken keys elsewhere: read once, when that is asked first.
    births: BTreeMap<String, Births>,
    all_read: bool,
    sent: u64,
    is_named: bool,
    /// Letters that an earlier command saw come to another end than processed.
    before: u64,
}

struct Awaited {
    reported: Reported,
    until: Instant,
}

impl<'a, F: FnMut(Heard)> Running<'a, F> {
    pub(super) fn new(cluster: &'a Cluster, order: &'a Order, heard: F, start: Start<'a>) -> Self {
        let Start { writer, states, watch, letters, under_way, is_named } = start;
        Self {
            cluster,
            order,
            heard,
            writer,
            states,
            watch,
            letters,
            pace: Pace::new(order.rate),
            under_way,
            awaited: BTreeMap::new(),
            settled: Vec::new(),
            births: BTreeMap::new(),
            all_read: false,
            sent: 0,
            is_named,
            before: 0,
        }
    }

    /// Sees the outcomes that are there already.
    ///
    /// # Errors
    /// See [`RedriveError`].
    pub(super) async fn look_back(&mut self) -> Result<(), RedriveError> {
        let group = &self.order.group.group;
        for (_, outcome) in lookback::outcomes(self.cluster, &self.states, group, &mut self.heard).await? {
            self.see(&outcome);
            if self.settled.len() >= BATCH_MAX {
                self.write_settled().await?;
            }
        }
        self.write_settled().await
    }

    pub(super) async fn run(mut self, stop: &CancellationToken) -> Result<(), RedriveError> {
        while !stop.is_cancelled() && (!self.all_read || !self.awaited.is_empty()) {
            self.send_some().await?;
            self.see_outcomes().await?;
            self.give_up_late_ones();
            self.say_how_far();
        }
        self.write_settled().await?;
        for (_, Awaited { reported, .. }) in std::mem::take(&mut self.awaited) {
            self.end(reported);
        }
        say_undecided(&self.letters, &mut self.heard);
        if self.before > 0 {
            (self.heard)(Heard::Before { count: self.before });
        }
        Ok(())
    }

    /// As many as pace and room allow, in one transaction.
    async fn send_some(&mut self) -> Result<(), RedriveError> {
        let turn_ends = Instant::now() + TURN;
        let room = self.order.awaited_max.saturating_sub(self.awaited.len()).min(BATCH_MAX);
        let mut batch = Vec::new();
        while !self.all_read && batch.len() < room && self.pace.allows(batch.len()) && Instant::now() < turn_ends {
            match self.letters.next(TURN).await? {
                Next::End => self.all_read = true,
                Next::Passed => {}
                Next::Letter(letter) => match self.take_up(*letter) {
                    TakenUp::Known => {}
                    TakenUp::ToSend(letter) => match self.prepare(&letter).await? {
                        Ok(sending) => batch.push((sending, letter)),
                        Err(why) => self.end(Reported::refused(&letter, &why)),
                    },
                },
            }
        }
        self.pace.took(batch.len());
        self.send(batch).await
    }

    /// A letter that has a state is not sent; one whose outcome is still to come is awaited again.
    fn take_up(&mut self, letter: Letter) -> TakenUp {
        let of = self.states.of(&letter);
        let state = match of.and_then(|state| Ok((state, self.order.takes(state, unix_ms())?))) {
            Ok((_, true)) => return TakenUp::ToSend(Box::new(letter)),
            Ok((Some(state), false)) => state,
            Ok((None, false)) => return TakenUp::Known,
            Err(why) => {
                self.end(Reported::refused(&letter, &why));
                return TakenUp::Known;
            }
        };
        let is_redriving = state.status == LetterStatus::Redriving;
        let settled_now = Fate::of_state(state).filter(|_| self.states.was_settled_now(&letter.id()));
        let reported = match settled_now {
            // One that is not lost yet is somebody else's to wait for.
            _ if is_redriving && !matches!(self.order.sends, Sends::Lost(_)) => {
                let reported = Reported::at(&letter, state, self.order.nothing_heard());
                self.wait_for(letter.id(), reported);
                return TakenUp::Known;
            }
            Some(fate) => Reported::at(&letter, state, fate),
            None if self.is_named => Reported::before(&letter, state),
            None => {
                self.before += u64::from(Fate::of_state(state).is_some_and(|fate| !fate.is_good()));
                return TakenUp::Known;
            }
        };
        self.end(reported);
        TakenUp::Known
    }

    async fn prepare(&mut self, letter: &Letter) -> Result<Result<Sending, Refusal>, RedriveError> {
        let topic = match self.order.destination(letter) {
            Ok(topic) => topic,
            Err(why) => return Ok(Err(why)),
        };
        let found = if letter.is_whole() { None } else { self.at_origin(letter).await? };
        let partition = self.place(letter, topic).await?;
        let number = letter.redrive_after(self.states.of(letter).ok().flatten());
        let original = letter.original(topic, partition, number.unsigned_abs(), found.as_ref());
        Ok(original.map(|original| self.sending(letter, original, number)))
    }

    /// The partition that it goes to.
    async fn place(&mut self, letter: &Letter, topic: &str) -> Result<i32, ScanError> {
        let (placed, partitions) = (letter.placed(), self.order.sources[topic].partitions);
        if !placed.may_have_moved(partitions) {
            return Ok(placed.partition(partitions, &Births::new()));
        }
        if !self.births.contains_key(topic) {
            self.births.insert(topic.to_owned(), placing::births(&self.cluster.reader, topic).await?);
        }
        Ok(placed.partition(partitions, &self.births[topic]))
    }

    /// What stands where the letter came from.
    async fn at_origin(&self, letter: &Letter) -> Result<Option<Record>, RedriveError> {
        let Some(origin) = &letter.origin else { return Ok(None) };
        let wanted = Wanted {
            topics: vec![origin.topic.clone()],
            partitions: [origin.partition].into(),
            from: Bound::Offset(origin.offset),
            to: Bound::Offset(origin.offset + 1),
        };
        match self.cluster.reader.resolve(wanted).await {
            Ok(stretches) => Ok(self.cluster.reader.read(&stretches)?.next().await?),
            Err(ScanError::Expired { .. } | ScanError::NoPartition { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn sending(&self, letter: &Letter, Original { record, event_id }: Original, redrive: i32) -> Sending {
        let (id, actor, at) = (letter.id(), &self.order.actor, unix_ms());
        let state = LetterState {
            topic: id.topic.to_string(),
            partition: id.partition,
            offset: id.offset,
            status: LetterStatus::Redriving,
            by: actor.by.clone(),
            reason: actor.reason.clone(),
            since: at,
            redrive,
            sent_to: None,
            audit: None,
            event_id,
            outcome: None,
            error_class: None,
            error: None,
            ended_at: None,
        };
        let intervention = self.cluster.intervention(letter, &state, self.order.action);
        Sending { record, intervention, state }
    }

    async fn send(&mut self, mut batch: Vec<(Sending, Box<Letter>)>) -> Result<(), RedriveError> {
        while !batch.is_empty() {
            // Where it will stand is known only when it is sent; then its outcome may be there at once.
            for (sending, _) in &batch {
                self.expect(sending);
            }
            let sent = self.writer.send(batch.iter().map(|(sending, _)| sending.clone()).collect()).await;
            match sent {
                Ok(states) => {
                    for (state, (_, letter)) in states.into_iter().zip(std::mem::take(&mut batch)) {
                        self.was_sent(&letter, state);
                    }
                }
                Err(WriteError::Refused { index, message }) => {
                    let (_, letter) = batch.remove(index);
                    self.end(Reported::refused(&letter, &Refusal::NotTaken { message }));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn expect(&self, Sending { record, state, .. }: &Sending) {
        let partition = record.partition.unwrap_or_default();
        let place = Place { topic: (&*record.topic).into(), partition, offset: 0 };
        self.watch.expect(outcome_key(state.event_id.as_deref(), &place));
    }

    fn was_sent(&mut self, letter: &Letter, state: LetterState) {
        self.sent += 1;
        let reported = Reported::at(letter, &state, self.order.nothing_heard());
        let now = state.sent_to.clone();
        // What it was sent as before is not what is waited for any more, nor what another letter was that stood there.
        let before = self.states.insert(letter.id(), state).and_then(|state| state.sent_to);
        before.map(|place| self.under_way.remove(&place));
        now.map(|place| self.under_way.insert(place, letter.id()));
        self.wait_for(letter.id(), reported);
    }

    fn wait_for(&mut self, letter: LetterId, reported: Reported) {
        match self.order.patience {
            Some(patience) => {
                self.awaited.insert(letter, Awaited { reported, until: Instant::now() + patience });
            }
            None => self.end(reported),
        }
    }

    /// What has been read of the audit topic; waits for some if there is nothing else to do.
    async fn see_outcomes(&mut self) -> Result<(), RedriveError> {
        let is_idle = self.all_read || self.awaited.len() >= self.order.awaited_max || !self.pace.allows(0);
        let mut patience = if is_idle { TURN } else { Duration::ZERO };
        while let Some(read) = self.watch.next(&self.cluster.codec, patience).await? {
            match read {
                Ok(outcome) => self.see(&outcome),
                Err(rubbish) => (self.heard)(rubbish.said()),
            }
            patience = Duration::ZERO;
            if self.settled.len() >= BATCH_MAX {
                break;
            }
        }
        self.write_settled().await
    }

    fn see(&mut self, outcome: &Outcome<'_>) {
        let place = outcome.first_place();
        if outcome.group != self.order.group.group {
            return;
        }
        let Some(letter) = self.under_way.get(&place).cloned() else { return };
        if outcome.outcome.is_retried() {
            if let Some(awaited) = self.awaited.get_mut(&letter) {
                awaited.reported.fate = Fate::NoOutcome { last: Some(still_retried(outcome)) };
            }
            return;
        }
        self.under_way.remove(&place);
        if let Some(settled) = self.states.settle(&letter, outcome) {
            self.settled.push(settled);
        }
        if let Some(Awaited { mut reported, .. }) = self.awaited.remove(&letter) {
            reported.fate = Fate::of_outcome(outcome);
            self.end(reported);
        }
    }

    async fn write_settled(&mut self) -> Result<(), RedriveError> {
        if !self.settled.is_empty() {
            self.writer.write(std::mem::take(&mut self.settled), Vec::new()).await?;
        }
        Ok(())
    }

    fn give_up_late_ones(&mut self) {
        let now = Instant::now();
        let late: Vec<LetterId> =
            self.awaited.iter().filter(|(_, awaited)| awaited.until <= now).map(|(id, _)| id.clone()).collect();
        for letter in late {
            if let Some(Awaited { reported, .. }) = self.awaited.remove(&letter) {
                self.end(reported);
            }
        }
    }

    fn end(&mut self, reported: Reported) {
        (self.heard)(Heard::Ended(Box::new(reported)));
    }

    fn say_how_far(&mut self) {
        let (read, sent, awaited) = (self.letters.progress(), self.sent, self.awaited.len());
        (self.heard)(Heard::Progress { read, sent, awaited });
    }
}

enum TakenUp {
    ToSend(Box<Letter>),
    /// Nothing is to be sent for it.
    Known,
}

fn still_retried(outcome: &Outcome<'_>) -> String {
    let place = if outcome.outcome == OutcomeKind::RetriedInPlace { "in place" } else { "in a retry topic" };
    let due = outcome.due_at.and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    let due = due.map_or(String::new(), |due| format!(", due {due}"));
    let error = outcome.error.as_deref().unwrap_or_default();
    format!("still retrying {place} after attempt {}{due}: {error}", outcome.attempt)
}
