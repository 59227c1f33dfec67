//! `coafi topics`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use super::answer::table;
use super::{Answer, Context, Failure};
use crate::app;
use crate::config;
use crate::kafka::admin::Admin;
use crate::kafka::topics::{self, Change, Plan, Step, Topic};
use crate::kafka::{Drain, LagError, Obstacle};
use crate::schema::Schemas;

/// Obstacles that an error names.
const NAMED_OBSTACLES: usize = 5;

/// The cluster's topics, as `topics/*.yaml` declares them.
#[derive(Debug, Subcommand)]
pub(crate) enum Topics {
    /// Show how the cluster differs from the declarations.
    #[command(after_help = "Examples:
  coafi topics plan
  coafi topics plan --output json --replication-factor 1

Exit codes: 0 `coafi topics apply` can do all of it, 1 something would be lost, or the order of keys,
and is refused, 2 the command line, the configuration or a declaration is wrong, 3 Kafka does not
answer.")]
    Plan(Options),
    /// Make the cluster as declared. Nothing is done if anything would be lost.
    ///
    /// A topic with keys and records gets more partitions with --drain only, after its publishers have been stopped: the
    /// command waits until nobody publishes and everything is handled, adds the partitions, looks that nothing came in
    /// between, and waits until the replicas have taken them up.
    #[command(after_help = "Examples:
  coafi topics apply
  coafi topics apply --topics topics/ --replication-factor 1
  coafi topics apply --drain --timeout 10m
  coafi topics apply --drain --group coafi --group reports

Exit codes: 0 the cluster is as declared, 1 something would be lost and nothing is done, or it is
not drained in time (nothing is changed), or records came in between, or Kafka refuses something
(the message says which), 2 the command line, the configuration or a declaration is wrong, 3 Kafka
does not answer.")]
    Apply(Apply),
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

#[derive(Debug, Args)]
pub(crate) struct Apply {
    #[command(flatten)]
    options: Options,
    /// Give keyed topics that have records more partitions, once all is handled; stop their publishers first.
    #[arg(long)]
    drain: bool,
    /// A consumer group that reads the topics, may be repeated; by default kafka.group_id.
    #[arg(long = "group", value_name = "GROUP", requires = "drain")]
    groups: Vec<String>,
    /// How long nothing may have been published.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration, requires = "drain")]
    still: Duration,
    /// How long to wait, for the topics to be drained and then for the replicas.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration, requires = "drain")]
    timeout: Duration,
}

fn duration(text: &str) -> Result<Duration, String> {
    config::parse_duration(text).ok_or_else(|| "allowed: a duration such as 500ms, 5s or 1m".to_owned())
}

impl Topics {
    /// `declarations`: the configured ones.
    ///
    /// # Errors
    /// Declarations that are wrong ([`topics::TopicError`]), a cluster that does not answer or refuses
    /// ([`crate::kafka::admin::AdminError`]), topics that are not drained in time.
    pub(super) async fn run(
        self,
        context: &Context,
        declarations: Vec<topics::Declaration>,
    ) -> Result<Answer, Failure> {
        let (Self::Plan(options) | Self::Apply(Apply { options, .. })) = &self;
        let declared = options.topics(declarations, &app::schemas(context.settings()).map_err(anyhow::Error::new)?)?;
        let places = context.places();
        let admin = Admin::new(&places.client_config()).map_err(anyhow::Error::new)?;
        let mut plan = admin.plan(&declared).await.map_err(anyhow::Error::new)?;
        let drained = match &self {
            Self::Apply(apply) if apply.drain && plan.needs_drain() => {
                plan = plan.drained();
                if plan.refused().next().is_none() { Some(apply.wait(context, &plan).await?) } else { None }
            }
            _ => None,
        };
        let refused = plan.refused().count();
        let applied = matches!(self, Self::Apply(_)) && refused == 0 && plan.changes_something();
        if applied && let Err(error) = admin.apply(&plan).await {
            let failure = Failure::from(anyhow::Error::new(error));
            return Err(if drained.is_some() { growing_failed(&plan, failure) } else { failure });
        }
        let answer = answer(&plan, &declared, applied, refused);
        match (drained, &self) {
            (Some(drain), Self::Apply(apply)) => {
                Ok(with_obstacles(answer, &apply.look_after(context, drain, &plan).await?))
            }
            _ => Ok(answer),
        }
    }
}

impl Apply {
    /// Waits until what the plan makes larger is drained.
    async fn wait(&self, context: &Context, plan: &Plan) -> Result<Drain, Failure> {
        let kafka = &context.settings().kafka;
        let groups = if self.groups.is_empty() { vec![kafka.group_id.clone()] } else { self.groups.clone() };
        let growing: BTreeMap<String, i32> =
            plan.growing().map(|(topic, partitions)| (topic.to_owned(), partitions)).collect();
        let mut drain = Drain::new(kafka, groups, growing, self.still)?;
        let (bar, timeout) = (context.output().bar("draining", None), self.timeout);
        let waited = tokio::task::spawn_blocking(move || {
            let obstacles = drain.wait(timeout, |obstacles| bar.set(obstacles.len() as u64, None, named(obstacles)));
            obstacles.map(|obstacles| (drain, obstacles))
        });
        let (drain, obstacles) = waited.await.map_err(|error| Failure::failed("waiting failed").because(error))??;
        if obstacles.is_empty() {
            return Ok(drain);
        }
        let timeout = config::format_duration(timeout);
        let message = format!("not drained within {timeout}, nothing was changed: {}", named(&obstacles));
        Err(Failure::failed(message).next("stop the publishers, see `coafi group lag`, or wait longer with --timeout"))
    }

    /// What is not in order once the topics have grown.
    async fn look_after(&self, context: &Context, drain: Drain, plan: &Plan) -> Result<Vec<Obstacle>, Failure> {
        let (bar, timeout) = (context.output().bar("taking up new partitions", None), self.timeout);
        let looked = tokio::task::spawn_blocking(move || {
            let overtaken = drain.overtaken().map_err(|error| (None, error))?;
            let report = |left: &[Obstacle]| bar.set(left.len() as u64, None, named(left));
            match drain.wait_taken_up(timeout, report) {
                Ok(left) => Ok(overtaken.into_iter().chain(left).collect()),
                Err(error) => Err((Some(overtaken), error)),
            }
        });
        let looked: Result<_, (Option<Vec<Obstacle>>, LagError)> = match looked.await {
            Ok(looked) => looked,
            Err(error) => return Err(looking_failed(plan, None, Failure::failed("waiting failed").because(error))),
        };
        looked.map_err(|(overtaken, error)| looking_failed(plan, overtaken.as_deref(), error.into()))
    }
}

/// Which topics get how many partitions.
fn growth(plan: &Plan) -> String {
    let growth = plan.steps.iter().filter_map(|step| match step.change {
        Change::Partitions { from, to } => Some(format!("{} {from} -> {to}", step.topic)),
        _ => None,
    });
    growth.collect::<Vec<_>>().join(", ")
}

/// The drained topics may have grown, all or some of them, when the cluster was made as declared.
fn growing_failed(plan: &Plan, failure: Failure) -> Failure {
    failure.after(&format!("partitions were being added ({})", growth(plan))).next(
        "leave the publishers stopped; `coafi topics plan` shows what has not grown yet: give the same command once more",
    )
}

/// The topics have grown, and it is not known that all is in order. `overtaken`: what came in between, if that is known.
fn looking_failed(plan: &Plan, overtaken: Option<&[Obstacle]>, failure: Failure) -> Failure {
    let between = match overtaken {
        None => "whether records came in between is not known".to_owned(),
        Some([]) => "no records came in between".to_owned(),
        Some(some) => named(some),
    };
    failure.after(&format!("topics have grown ({}), {between}", growth(plan))).next(
        "leave the publishers stopped until `coafi group lag` shows every new partition with a position and no lag; then start them",
    )
}

/// The first of them, in words.
fn named(obstacles: &[Obstacle]) -> String {
    let first: Vec<String> = obstacles.iter().take(NAMED_OBSTACLES).map(ToString::to_string).collect();
    let more = obstacles.len().saturating_sub(NAMED_OBSTACLES);
    if more > 0 { format!("{}; and {more} more", first.join("; ")) } else { first.join("; ") }
}

/// What is to be said after topics were drained and have grown.
fn with_obstacles(mut answer: Answer, obstacles: &[Obstacle]) -> Answer {
    answer.json["drained"] = true.into();
    answer.json["obstacles"] = json!(obstacles);
    answer.text += &match obstacles {
        [] => "\nstart the publishers again; one that was idle and not stopped must be restarted".to_owned(),
        some => format!("\nbut not all is in order: {}", named(some)),
    };
    answer.yes &= obstacles.is_empty();
    answer
}

impl Options {
    fn topics(&self, configured: Vec<topics::Declaration>, schemas: &Schemas) -> Result<Vec<Topic>, Failure> {
        let declarations = match &self.topics {
            Some(folder) => topics::read(folder, schemas).map_err(anyhow::Error::new)?,
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

fn row(Step { topic, change, refused, .. }: &Step) -> [String; 3] {
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

    use super::super::Exit;
    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(subcommand)]
        topics: Topics,
    }

    #[test]
    fn options_reach_the_declarations() {
        let cli = Cli::try_parse_from(["coafi", "apply", "--replication-factor", "1"]).unwrap();
        let (Topics::Plan(options) | Topics::Apply(Apply { options, .. })) = cli.topics;
        assert!(
            options
                .topics(topics::embedded().unwrap(), &Schemas::built_in())
                .unwrap()
                .iter()
                .all(|topic| topic.replication == 1)
        );
        assert!(Cli::try_parse_from(["coafi", "apply", "--replication-factor", "0"]).is_err());
        assert!(Cli::try_parse_from(["coafi", "apply", "--drain", "--timeout", "10m", "--group", "a"]).is_ok());
        assert!(Cli::try_parse_from(["coafi", "apply", "--timeout", "10m"]).is_err(), "without --drain nothing waits");
    }

    #[test]
    fn what_came_in_between_makes_the_answer_no() {
        let step = Step {
            topic: "coafi.a".into(),
            change: Change::Partitions { from: 1, to: 2 },
            refused: None,
            drainable: true,
        };
        let answer = answer(&Plan { steps: vec![step] }, &[], true, 0);
        assert!(with_obstacles(answer.clone(), &[]).yes);
        let overtaken = Obstacle::Overtaken { topic: "coafi.a".into(), partition: 0, from: 4, to: 5 };
        let bad = with_obstacles(answer, &[overtaken]);
        assert!(!bad.yes && bad.text.contains("coafi.a[0] got the records 4 to 5"), "{}", bad.text);
        assert_eq!(bad.json["obstacles"][0]["obstacle"], "overtaken");
    }

    #[test]
    fn what_fails_after_the_growth_does_not_hide_it() {
        let step = |topic: &str, change| Step { topic: topic.into(), change, refused: None, drainable: true };
        let larger = |topic: &str| step(topic, Change::Partitions { from: 1, to: 2 });
        let created = step("coafi.b", Change::Create { partitions: 1, replication: 1, config: BTreeMap::new() });
        let plan = Plan { steps: vec![larger("coafi.a"), larger("coafi.a.dlq"), created] };
        let silent = || Failure::unavailable("no broker answers");
        let check = |failure: Failure, said: &str| {
            assert_eq!((failure.to_string().as_str(), failure.exit()), (said, Exit::Unavailable));
        };
        let growth = "coafi.a 1 -> 2, coafi.a.dlq 1 -> 2";
        check(
            growing_failed(&plan, silent()),
            &format!("partitions were being added ({growth}); then: no broker answers"),
        );
        let grown = format!("topics have grown ({growth})");
        check(
            looking_failed(&plan, None, silent()),
            &format!("{grown}, whether records came in between is not known; then: no broker answers"),
        );
        check(
            looking_failed(&plan, Some(&[]), silent()),
            &format!("{grown}, no records came in between; then: no broker answers"),
        );
        let overtaken = Obstacle::Overtaken { topic: "coafi.a".into(), partition: 0, from: 4, to: 5 };
        let said = looking_failed(&plan, Some(&[overtaken]), silent()).to_string();
        assert!(said.contains("coafi.a[0] got the records 4 to 5 while it grew"), "{said}");
    }

    #[test]
    fn a_refused_step_makes_the_answer_no() {
        let change = Change::Partitions { from: 1, to: 2 };
        let step = |refused| Step { topic: "coafi.a".into(), change: change.clone(), refused, drainable: false };
        let good = answer(&Plan { steps: vec![step(None)] }, &[], true, 0);
        assert_eq!((good.yes, good.text.lines().last().unwrap()), (true, "1 changes done"));
        let bad = answer(&Plan { steps: vec![step(Some("order".into()))] }, &[], false, 1);
        assert!(!bad.yes && bad.text.contains("partitions 1 -> 2"), "{}", bad.text);
        assert_eq!(bad.json["steps"][0]["refused"], "order");
    }
}
