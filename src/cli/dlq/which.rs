//! Which letters a command is about.

use std::collections::BTreeSet;

use clap::Args;
use clap::builder::PossibleValuesParser;

use super::super::{Between, Context, Failure, Selecting};
use crate::app::{self, NoDeadLetters};
use crate::dlq::{LetterId, Selection, existing, stretches_of};
use crate::engine::Class;
use crate::kafka::scan::{Bound, Reader, ScanError, Stretch};
use crate::kafka::topics::Declaration;

/// Which dead letters. All that is given must hold.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Which {
    /// Only dead letters of these topics (coafi.git or coafi.git.dlq); by default of every declared one.
    #[arg(long = "topic", value_name = "TOPIC", help_heading = "Which events")]
    topics: Vec<String>,
    /// Only failures of these classes.
    #[arg(long = "class", value_name = "CLASS", help_heading = "Which events", value_parser = PossibleValuesParser::new(Class::DEAD_LETTERED))]
    classes: Vec<String>,
    /// Only failures of these handlers.
    #[arg(long = "handler", value_name = "NAME", help_heading = "Which events")]
    handlers: Vec<String>,
    #[command(flatten)]
    within: Within,
}

/// Which records of the topics that are looked at.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Within {
    /// Only these, as `list` names them: TOPIC/PARTITION/OFFSET.
    #[arg(value_name = "LETTER")]
    letters: Vec<LetterId>,
    #[command(flatten)]
    selecting: Selecting,
    #[command(flatten)]
    between: Between,
}

/// The letters of one topic that are looked at.
#[derive(Debug)]
pub(in crate::cli) struct Found {
    pub(in crate::cli) topic: String,
    pub(in crate::cli) stretches: Vec<Stretch>,
}

impl Found {
    pub(in crate::cli) fn is_empty(&self) -> bool {
        self.stretches.iter().all(Stretch::is_empty)
    }
}

impl Which {
    pub(in crate::cli) fn selection(&self) -> Result<Selection, Failure> {
        let Self { classes, handlers, within, .. } = self;
        Ok(Selection { records: within.selecting.selection()?, classes: classes.clone(), handlers: handlers.clone() })
    }

    /// # Errors
    /// See [`is_said`].
    pub(in crate::cli) fn is_said(&self, all: bool) -> Result<(), Failure> {
        is_said(self.is_everything(), all)
    }

    /// Whether they are named one by one.
    pub(in crate::cli) fn is_named(&self) -> bool {
        self.within.is_named()
    }

    pub(in crate::cli) fn is_everything(&self) -> bool {
        let Self { topics, classes, handlers, within } = self;
        topics.is_empty() && classes.is_empty() && handlers.is_empty() && within.is_everything()
    }

    /// Where they are, topic by topic.
    pub(in crate::cli) async fn found(
        &self,
        context: &Context,
        reader: &Reader,
        declarations: &[Declaration],
    ) -> Result<Vec<Found>, Failure> {
        if !self.within.letters.is_empty() {
            for letter in &self.within.letters {
                app::holds_dead_letters(declarations, &letter.topic)?;
            }
            return self.within.named(reader).await;
        }
        let (mut found, mut without) = (Vec::new(), None);
        for topic in app::dead_letter_topics(declarations, &self.topics)? {
            match self.within.of(reader, &topic).await {
                Ok(one) => found.push(one),
                // Declared and not made yet: nothing can be in it.
                Err(ScanError::NoTopic { topic }) if self.topics.is_empty() => {
                    context.output().remark(&format!("there is no topic {topic}; `coafi topics apply` makes it"));
                }
                // Of all of them some may have it.
                Err(error @ ScanError::NoPartition { .. }) if self.topics.is_empty() => without = Some(error),
                Err(error) => return Err(anyhow::Error::new(error).into()),
            }
        }
        match without {
            Some(error) if found.is_empty() => Err(anyhow::Error::new(error).into()),
            _ => Ok(found),
        }
    }
}

impl Within {
    pub(in crate::cli) fn selection(&self) -> Result<Selection, Failure> {
        Ok(Selection { records: self.selecting.selection()?, classes: Vec::new(), handlers: Vec::new() })
    }

    pub(in crate::cli) fn is_everything(&self) -> bool {
        let Self { letters, selecting: Selecting { types, sources, keys, filter }, between } = self;
        let anywhere = between.from == Bound::Beginning && between.to == Bound::End && between.partitions.is_empty();
        letters.is_empty() && types.is_empty() && sources.is_empty() && keys.is_empty() && filter.is_none() && anywhere
    }

    /// Whether they are named one by one.
    pub(in crate::cli) fn is_named(&self) -> bool {
        !self.letters.is_empty()
    }

    /// Those of one topic.
    pub(in crate::cli) async fn found(&self, reader: &Reader, topic: &str) -> Result<Vec<Found>, Failure> {
        if let Some(other) = self.letters.iter().find(|letter| *letter.topic != *topic) {
            return Err(Failure::usage(format!("{other} is no record of {topic}")));
        }
        if !self.letters.is_empty() {
            return self.named(reader).await;
        }
        Ok(vec![self.of(reader, topic).await.map_err(anyhow::Error::new)?])
    }

    async fn of(&self, reader: &Reader, topic: &str) -> Result<Found, ScanError> {
        let stretches = reader.resolve(self.between.wanted(vec![topic.to_owned()])).await?;
        Ok(Found { topic: topic.to_owned(), stretches })
    }

    /// Those that are named one by one. Nothing is done with any if one of them is not there: the name is likely mistyped.
    async fn named(&self, reader: &Reader) -> Result<Vec<Found>, Failure> {
        let topics: BTreeSet<_> = self.letters.iter().map(|letter| letter.topic.clone()).collect();
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for topic in topics {
            let letters = self.letters.iter().filter(|letter| letter.topic == topic).cloned().collect();
            let existing = existing(reader, &topic, &letters).await.map_err(anyhow::Error::new)?;
            missing.extend(letters.difference(&existing).map(ToString::to_string));
            found.push(Found { topic: topic.to_string(), stretches: stretches_of(&letters) });
        }
        if missing.is_empty() {
            return Ok(found);
        }
        let text = format!("there is no record {} (any more)", missing.join(", "));
        Err(Failure::failed(text).next("`coafi dlq list` and `coafi unprocessed list` name those that are there"))
    }
}

/// Every record there is takes more than to say nothing.
///
/// # Errors
/// Neither `--all` nor anything else says which are meant, or both do.
pub(in crate::cli) fn is_said(everything: bool, all: bool) -> Result<(), Failure> {
    let (message, next) = match (everything, all) {
        (true, true) | (false, false) => return Ok(()),
        (false, true) => ("--all is every record, and something else says which", "give one or the other"),
        (true, false) => ("nothing says which records are meant", "give a filter, or --all for every one of them"),
    };
    Err(Failure::usage(message).next(next))
}

impl From<NoDeadLetters> for Failure {
    fn from(error: NoDeadLetters) -> Self {
        Self::usage(error.to_string()).next("`coafi dlq list` names letters as the other commands take them")
    }
}
