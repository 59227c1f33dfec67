//! Which letters are meant, and reading them.

use std::collections::BTreeSet;

use super::{Letter, LetterId};
use crate::dispatch::{self, Failure, Judged};
use crate::event::NextOffset;
use crate::event::TopicPartition;
use crate::kafka::scan::{Progress, Reader, Records, ScanError, Stretch, Wanted};
use crate::schema::Codec;

/// What letters are like. All of it must hold.
#[derive(Clone, Debug)]
pub struct Selection {
    /// As for any recorded record.
    pub records: dispatch::Selection,
    /// Classes of failure, any of them; empty for all.
    pub classes: Vec<String>,
    /// Handlers that failed, any of them; empty for all.
    pub handlers: Vec<String>,
}

impl Selection {
    /// # Errors
    /// Systemic: the schema registry does not answer.
    async fn judge(&self, letter: &Letter, codec: &Codec) -> Result<Judged, Failure> {
        let is_one_of = |names: &[String], name: &Option<String>| {
            names.is_empty() || name.as_ref().is_some_and(|name| names.contains(name))
        };
        if !is_one_of(&self.classes, &letter.class) || !is_one_of(&self.handlers, &letter.handler) {
            return Ok(Judged::Unwanted);
        }
        self.records.judge(&letter.record, codec).await
    }
}

/// Where letters stand that were named one by one.
#[must_use]
pub fn stretches_of(letters: &BTreeSet<LetterId>) -> Vec<Stretch> {
    let of = |letter: &LetterId| Stretch {
        source: TopicPartition { topic: letter.topic.clone(), partition: letter.partition },
        from: NextOffset(letter.offset),
        to: NextOffset(letter.offset + 1),
    };
    letters.iter().map(of).collect()
}

/// Those of these letters of one topic that are there: no transaction marker, and neither behind an end of the topic nor taken
/// by retention.
///
/// # Errors
/// See [`ScanError`].
pub async fn existing(
    reader: &Reader,
    topic: &str,
    letters: &BTreeSet<LetterId>,
) -> Result<BTreeSet<LetterId>, ScanError> {
    let all = reader.resolve(Wanted::all(topic)).await?;
    let is_within = |letter: &&LetterId| {
        let is_it = |all: &&Stretch| all.source.partition == letter.partition;
        all.iter().find(is_it).is_some_and(|all| (all.from.0..all.to.0).contains(&letter.offset))
    };
    let within = letters.iter().filter(is_within).cloned().collect();
    let mut records = reader.read(&stretches_of(&within))?;
    let mut existing = BTreeSet::new();
    while let Some(record) = records.next().await? {
        existing.insert(Letter::read(record).id());
    }
    Ok(existing)
}

/// Letters as they are read: those that are meant.
#[derive(Debug)]
pub struct Letters<'a> {
    records: Records,
    selection: &'a Selection,
    codec: &'a Codec,
    undecided: u64,
    first_undecided: Option<Failure>,
}

/// What one record of a dead-letter topic is to the one who asks.
#[derive(Debug)]
pub enum Next {
    Letter(Box<Letter>),
    /// Somebody else's business.
    Passed,
    End,
}

#[derive(Debug, thiserror::Error)]
pub enum LettersError {
    #[error(transparent)]
    Scan(#[from] ScanError),
    #[error("the filter cannot be asked: {0}")]
    Filter(Failure),
}

impl<'a> Letters<'a> {
    /// # Errors
    /// No thread can be started.
    pub fn read(
        reader: &Reader,
        stretches: &[Stretch],
        selection: &'a Selection,
        codec: &'a Codec,
    ) -> Result<Self, ScanError> {
        Ok(Self { records: reader.read(stretches)?, selection, codec, undecided: 0, first_undecided: None })
    }

    /// Waits for the next record and says whether it is meant. Waiting may be given up: no record is lost by that.
    ///
    /// # Errors
    /// See [`LettersError`].
    pub async fn next(&mut self, patience: std::time::Duration) -> Result<Next, LettersError> {
        let Ok(record) = tokio::time::timeout(patience, self.records.next()).await else { return Ok(Next::Passed) };
        let Some(record) = record? else { return Ok(Next::End) };
        let letter = Letter::read(record);
        match self.selection.judge(&letter, self.codec).await.map_err(LettersError::Filter)? {
            Judged::Wanted => Ok(Next::Letter(Box::new(letter))),
            Judged::Unwanted => Ok(Next::Passed),
            Judged::Undecided(failure) => {
                self.undecided += 1;
                self.first_undecided.get_or_insert(failure);
                Ok(Next::Passed)
            }
        }
    }

    /// Letters of which the filter could not be asked, and why of the first.
    #[must_use]
    pub fn undecided(&self) -> Option<(u64, &Failure)> {
        self.first_undecided.as_ref().map(|failure| (self.undecided, failure))
    }

    #[must_use]
    pub fn progress(&self) -> Progress {
        self.records.progress()
    }
}
