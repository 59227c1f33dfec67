//! `coafi topics`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::Answer;
use super::answer::table;
use crate::kafka::admin::Admin;
use crate::kafka::topics::{self, Change, Plan, Step, Topic};

/// The cluster's topics, as `topics/*.yaml` declares them.
#[derive(Debug, Subcommand)]
pub(crate) enum Topics {
    /// Show how the cluster differs from the declarations. Exit code 1 if something would be lost.
    #[command(after_help = "Examples:\n  coafi topics plan\n  coafi topics plan --output json --replication-factor 1")]
    Plan(Options),
    /// Make the cluster as declared. Nothing is done if anything would be lost.
    #[command(
        after_help = "Examples:\n  coafi topics apply\n  coafi topics apply --topics topics/ --replication-factor 1"
    )]
    Apply(Options),
}

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Folder of declarations; by default the one that the configuration names.
    #[arg(long, value_name = "FOLDER")]
    topics: Option<PathBuf>,
    /// Replicas of each partition, instead of the declared number: 1 for a cluster of one broker.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=9))]
    replication_factor: Option<i32>,
}

impl Topics {
    /// `properties`: librdkafka's, for the cluster; `declarations`: the configured ones.
    ///
    /// # Errors
    /// Declarations that are wrong ([`topics::TopicError`]) or a cluster that does not answer or refuses
    /// ([`crate::kafka::admin::AdminError`]).
    pub(crate) async fn run<'a>(
        self,
        properties: impl IntoIterator<Item = (&'a str, &'a str)>,
        declarations: Vec<topics::Declaration>,
    ) -> anyhow::Result<Answer> {
        let (Self::Plan(options) | Self::Apply(options)) = &self;
        let declared = options.topics(declarations)?;
        let admin = Admin::new(properties)?;
        let plan = admin.plan(&declared).await?;
        let refused = plan.refused().count();
        let applied = matches!(self, Self::Apply(_)) && refused == 0 && plan.changes_something();
        if applied {
            admin.apply(&plan).await?;
        }
        Ok(answer(&plan, &declared, applied, refused))
    }
}

impl Options {
    fn topics(&self, configured: Vec<topics::Declaration>) -> anyhow::Result<Vec<Topic>> {
        let declarations = match &self.topics {
            Some(folder) => topics::read(folder)?,
            None => configured,
        };
        Ok(topics::topics(&declarations, self.replication_factor))
    }
}

fn answer(plan: &Plan, declared: &[Topic], applied: bool, refused: usize) -> Answer {
    let changes = plan.steps.iter().filter(|step| step.change != Change::Unknown).count();
    let last = match (changes, refused) {
        (0, _) => format!("the cluster has all {} topics as declared", declared.len()),
        (_, 0) if applied => format!("{changes} changes done"),
        (_, 0) => format!("{changes} changes; `coafi topics apply` does them"),
        (_, _) => format!("{refused} of {changes} changes are refused, so none is done"),
    };
    let json = json!({"steps": plan.steps, "declared": declared.len(), "refused": refused, "applied": applied});
    Answer {
        json,
        text: table(["topic", "change", "refused because"], plan.steps.iter().map(row).collect(), &last),
        yes: refused == 0,
    }
}

fn row(Step { topic, change, refused }: &Step) -> [String; 3] {
    let change = match change {
        Change::Create { partitions, replication, .. } => {
            format!("create with {partitions} partitions, replication {replication}")
        }
        Change::Partitions { from, to } => format!("partitions {from} -> {to}"),
        Change::Replication { from, to } => format!("replication {from} -> {to}"),
        Change::Config(config) => {
            format!("{} {} -> {}", config.key, config.from.as_deref().unwrap_or("(none)"), config.to)
        }
        Change::Unknown => "not declared (left alone)".to_owned(),
    };
    [topic.clone(), change, refused.clone().unwrap_or_default()]
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(subcommand)]
        topics: Topics,
    }

    #[test]
    fn options_reach_the_declarations() {
        let cli = Cli::try_parse_from(["coafi", "apply", "--replication-factor", "1"]).unwrap();
        let (Topics::Plan(options) | Topics::Apply(options)) = cli.topics;
        assert!(options.topics(topics::embedded().unwrap()).unwrap().iter().all(|topic| topic.replication == 1));
        assert!(Cli::try_parse_from(["coafi", "apply", "--replication-factor", "0"]).is_err());
    }

    #[test]
    fn a_refused_step_makes_the_answer_no() {
        let change = Change::Partitions { from: 1, to: 2 };
        let step = |refused| Step { topic: "coafi.a".into(), change: change.clone(), refused };
        let good = answer(&Plan { steps: vec![step(None)] }, &[], true, 0);
        assert_eq!((good.yes, good.text.lines().last().unwrap()), (true, "1 changes done"));
        let bad = answer(&Plan { steps: vec![step(Some("order".into()))] }, &[], false, 1);
        assert!(!bad.yes && bad.text.contains("partitions 1 -> 2"), "{}", bad.text);
        assert_eq!(bad.json["steps"][0]["refused"], "order");
    }
}
