//! Whose outcomes count.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;

use super::super::group::{TIMEOUT, blocking};
use super::super::{Context, Failure};
use crate::app;
use crate::config::Kafka;
use crate::dlq::Standing;
use crate::kafka::scan::Reader;
use crate::kafka::topics::Declaration;
use crate::kafka::{group_positions, group_topics};

/// The group that handles what is sent.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Counted {
    /// The consumer group whose outcomes count; by default kafka.group_id.
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
}

impl Counted {
    /// How to reach Kafka, as this group.
    fn kafka(&self, context: &Context) -> Kafka {
        let mut kafka = context.settings().kafka.clone();
        if let Some(group) = &self.group {
            kafka.group_id.clone_from(group);
        }
        kafka
    }

    /// Where it stands, if that decides what is lost: asked before its outcomes are looked for, so that what it has passed by then
    /// has its outcome there. In every source topic that there is: wherever a letter was sent to, an earlier `--into` said.
    pub(in crate::cli) async fn standing(
        &self,
        context: &Context,
        reader: &Reader,
        declarations: &[Declaration],
        decides: bool,
    ) -> Result<Standing, Failure> {
        let declared = if decides { app::known_topics(declarations) } else { BTreeMap::new() };
        let there = app::sources(reader, declared.keys().map(String::as_str)).await.map_err(anyhow::Error::new)?;
        let topics: Vec<String> = there.into_keys().collect();
        let kafka = self.kafka(context);
        let group = kafka.group_id.clone();
        let positions = blocking(move || group_positions(&kafka, &topics, TIMEOUT)).await?;
        Ok(Standing { group, positions })
    }

    /// It must handle each of these topics, or one of every such set, if its outcomes are waited for: with a name that is
    /// mistyped everything would be sent and nothing heard of.
    pub(in crate::cli) async fn handles(&self, context: &Context, topics: &[BTreeSet<&str>]) -> Result<(), Failure> {
        let kafka = self.kafka(context);
        let group = kafka.group_id.clone();
        let handled = blocking(move || group_topics(&kafka, TIMEOUT)).await?;
        let is_handled = |any: &&BTreeSet<&str>| any.iter().any(|topic| handled.contains(*topic));
        match topics.iter().filter(|any| !any.is_empty()).find(|any| !is_handled(any)) {
            None => Ok(()),
            Some(any) => {
                let topics = any.iter().copied().collect::<Vec<_>>().join(", ");
                let text = format!("group {group} has committed nothing in {topics}: no outcome of it would come");
                let next = "name the group that handles them with --group, or start it; --no-wait sends all the same";
                Err(Failure::usage(text).next(next))
            }
        }
    }
}
