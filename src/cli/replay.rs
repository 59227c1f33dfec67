//! `coafi replay`.

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::group::{TIMEOUT, blocking};
use super::output::table;
use super::{Between, Context, Exit, Failure, Selecting};
use crate::app::{self, replay};
use crate::kafka::scan::ScanError;
use crate::kafka::{DriverError, group_topics};
use crate::runtime::{Shutdown, unix_ms};

/// Bytes of a replay's name: it is part of a group's.
const MAX_NAME_BYTES: usize = 64;

/// Handle recorded events again, beside the live group and without moving its offsets.
///
/// The replay is a consumer group of its own, <group>.replay.<name>, with the routes and handlers in force now. When it is
/// through, its outcomes are compared with those that are recorded of the live group. It leaves nothing behind but audit
/// records, unless effects are asked for: with --effects handlers write to the configured database and artifact store, and
/// derived events are published, marked with the header coafi-run. Attempts are made in place only; what fails for good is
/// reported, and neither dead-lettered nor put on a retry topic, for it is still where it was. An interrupted replay goes on
/// with the same --name; a name stands for what it was first used for, and is refused with other events or effects.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi replay --topic coafi.git --from 2h --dry-run
  coafi replay --topic coafi.git --from 2026-01-31T12:00:00Z --to 2026-01-31T13:00:00Z
  coafi replay --topic coafi.git --partition 3 --from 4711 --to 4800 --type 'git.push' --filter \"data.branch == 'main'\"
  coafi replay --topic coafi.git --effects --name fix-42 --rate 50

Exit codes: 0 every event was replayed, and to what is recorded of it; 1 something differs, failed
or is left to do; 2 the command line or the configuration is wrong; 3 Kafka, the schema registry or
the database does not answer.")]
pub(super) struct Replay {
    /// Source topics to replay.
    #[arg(long = "topic", value_name = "TOPIC", required = true)]
    topics: Vec<String>,
    #[command(flatten)]
    between: Between,
    #[command(flatten)]
    selecting: Selecting,
    /// Say how many events are meant and which, and do nothing.
    #[arg(long, help_heading = "How")]
    dry_run: bool,
    /// Leave nothing behind but audit records, which is the default: handlers get an empty database and artifact store of
    /// their own, and what they derive is not published.
    #[arg(long, help_heading = "How")]
    isolated: bool,
    /// Do it all again: handlers write to the configured database and artifact store, and what they derive is published.
    #[arg(long, conflicts_with_all = ["isolated", "shadow"], help_heading = "How")]
    effects: bool,
    /// Where an isolated replay has its database and artifacts; by default a directory that is removed at the end.
    #[arg(long, value_name = "DIR", help_heading = "How")]
    shadow: Option<PathBuf>,
    /// Events that may begin per second.
    #[arg(long, value_name = "EVENTS", help_heading = "How")]
    rate: Option<NonZeroU32>,
    /// Letters, digits, '-' and '_'; by default the time. The same name goes on with an interrupted replay of the same events;
    /// to handle them once more, give another one.
    #[arg(long, value_parser = name, help_heading = "How")]
    name: Option<String>,
    /// The live group; by default kafka.group_id.
    #[arg(long, help_heading = "How")]
    group: Option<String>,
}

/// The JSON of `coafi replay --dry-run`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Planned<'a> {
    events: usize,
    undecided: u64,
    groups: &'a [replay::Group],
    listed: &'a [replay::Listed],
}

/// The JSON of `coafi replay`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    name: &'a str,
    group: &'a str,
    isolated: bool,
    complete: bool,
    events: usize,
    /// Of these, those that came to their end now; the others had before, under the same name.
    handled: u64,
    #[serde(flatten)]
    comparison: &'a replay::Comparison,
}

impl Replay {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let _telemetry = context.start_quiet_telemetry("warn")?;
        let shutdown = Shutdown::install().map_err(|error| Failure::failed(error.to_string()))?;
        let stop = shutdown.token();
        shutdown.watch(self.replay(context, stop)).await
    }

    async fn replay(self, context: &Context, stop: CancellationToken) -> Result<Exit, Failure> {
        self.check_topics(context)?;
        self.check_group(context).await?;
        let places = context.places();
        if !self.dry_run {
            check_audit_topic(&places).await?;
        }
        let selection = self.selecting.selection()?;
        let asked = self.asked(context, &places).await?;
        let plan = {
            let bar = context.output().bar("reading events", None);
            let codec = context.codec()?;
            let reader = places.reader();
            let wanted = self.between.wanted(self.topics.clone()).counted_from(asked.begun_ms);
            let planning = replay::Plan::make(&reader, wanted, &selection, &codec, |progress| {
                bar.set(progress.done, Some(progress.total), String::new());
            });
            tokio::select! {
                plan = planning => plan?,
                () = stop.cancelled() => return Err(Failure::failed("stopped before anything was replayed")),
            }
        };
        if let Some(trouble) = &plan.trouble {
            let count = plan.undecided;
            context
                .output()
                .remark(&format!("--filter cannot be asked of {count} events, which are left out: {trouble}"));
        }
        if self.dry_run {
            return planned(context, &plan);
        }
        if plan.is_empty() {
            return Err(Failure::failed("no event is meant").next("look at what is there with --dry-run"));
        }
        self.carry_out(context, plan, asked, stop).await
    }

    /// A name that is mistyped has nothing to compare with, and everything would come out as it should.
    async fn check_group(&self, context: &Context) -> Result<(), Failure> {
        let Some(group) = &self.group else { return Ok(()) };
        let mut kafka = context.settings().kafka.clone();
        kafka.group_id.clone_from(group);
        let handled = blocking(move || group_topics(&kafka, TIMEOUT)).await?;
        if self.topics.iter().any(|topic| handled.contains(topic)) {
            return Ok(());
        }
        let text = format!(
            "group {group} has committed nothing in {}: there is nothing to compare with",
            self.topics.join(", ")
        );
        Err(Failure::usage(text).next("name the live group with --group, or leave it out: it is kafka.group_id then"))
    }

    /// The live group.
    fn group(&self, context: &Context) -> String {
        self.group.clone().unwrap_or_else(|| context.settings().kafka.group_id.clone())
    }

    /// What is asked for, as it was when the name was first used.
    async fn asked(&self, context: &Context, places: &app::Places) -> Result<replay::Asked, Failure> {
        let (between, selecting) = (&self.between, &self.selecting);
        let asked = replay::Asked::now([
            ("--topic", self.topics.clone()),
            ("--partition", between.partitions.iter().map(ToString::to_string).collect()),
            ("--from", vec![between.from.to_string()]),
            ("--to", vec![between.to.to_string()]),
            ("--type", selecting.types.clone()),
            ("--source", selecting.sources.clone()),
            ("--key", selecting.keys.clone()),
            ("--filter", selecting.filter.iter().map(|filter| filter.text().to_owned()).collect()),
            ("--effects", self.effects.then(|| "given".to_owned()).into_iter().collect()),
        ]);
        let Some(name) = &self.name else { return Ok(asked) };
        let Some(kept) = replay::asked_before(places, &replay::own_group(&self.group(context), name)).await? else {
            return Ok(asked);
        };
        if !asked.others(&kept).is_empty() {
            return Err(another(name, &asked, &kept));
        }
        let begun = time(Some(kept.begun_ms));
        context.output().remark(&format!("going on with replay {name}, which was begun at {begun}"));
        Ok(kept)
    }

    async fn carry_out(
        self,
        context: &Context,
        plan: replay::Plan,
        asked: replay::Asked,
        stop: CancellationToken,
    ) -> Result<Exit, Failure> {
        let (settings, places) = (context.settings(), context.places());
        let (events, isolated) = (plan.len(), !self.effects);
        let group = self.group(context);
        let shadow = Shadow::of(isolated, self.shadow)?;
        let replay = replay::Replay {
            settings,
            places: &places,
            group,
            name: self.name.unwrap_or_else(|| unix_ms().to_string()),
            asked: asked.clone(),
            plan,
            shadow: shadow.path(),
            rate: self.rate,
        };
        let (name, group) = (replay.name.clone(), replay.own_group());
        let effects = if isolated { "without effects" } else { "with effects" };
        context.output().remark(&format!("replaying {events} events {effects} as {group}"));
        let bar = context.output().bar("replaying", Some(events as u64));
        let running = replay.run(stop, |done| bar.set(done, Some(events as u64), String::new()));
        let replayed = running.await.map_err(|error| match error.downcast::<replay::Overtaken>() {
            Ok(overtaken) => overtaken_by(&name, &asked, &overtaken),
            Err(error) if is_turned_out(&error) => turned_out(&name),
            Err(error) => error.into(),
        })?;
        drop(bar);
        let replay::Replayed { complete, handled, comparison } = &replayed;
        let (complete, handled) = (*complete, *handled);
        let shown = Shown { name: &name, group: &group, isolated, complete, events, handled, comparison };
        context.output().show(&shown, text)?;
        if complete && handled == 0 {
            context.output().remark(&format!(
                "nothing was left to handle: {name} was through before, and what it recorded then was compared; another --name handles the events once more"
            ));
        }
        if !complete {
            context.output().remark(&format!("stopped before its end: the same command with --name {name} goes on"));
        }
        Ok(if complete && comparison.is_clean() { Exit::Ok } else { Exit::No })
    }

    /// Only source topics: what is on a retry topic, or dead, belongs to the live group.
    fn check_topics(&self, context: &Context) -> Result<(), Failure> {
        let declarations = app::declarations(context.settings()).map_err(anyhow::Error::new)?;
        let known = app::known_topics(&declarations);
        match self.topics.iter().find(|topic| !known.contains_key(*topic)) {
            None => Ok(()),
            Some(topic) => {
                let allowed: Vec<_> = known.keys().map(String::as_str).collect();
                Err(Failure::usage(format!("--topic {topic:?} is no source topic; allowed: {}", allowed.join(", "))))
            }
        }
    }
}

/// Without it nothing of the replay can be kept; a replica would wait for it.
async fn check_audit_topic(places: &app::Places) -> Result<(), Failure> {
    match places.reader().partitions(app::AUDIT_TOPIC).await {
        Ok(_) => Ok(()),
        Err(ScanError::NoTopic { topic }) => {
            let why = "a replay writes its audit records there, and keeps in it what its name stands for";
            Err(Failure::failed(format!("topic {topic} is missing: {why}")).next("run `coafi topics apply`"))
        }
        Err(error) => Err(anyhow::Error::new(error).into()),
    }
}

/// The name was begun with other options.
fn another(name: &str, asked: &replay::Asked, kept: &replay::Asked) -> Failure {
    let others: Vec<String> = asked.others(kept).iter().map(ToString::to_string).collect();
    let begun = time(Some(kept.begun_ms));
    Failure::usage(format!("--name {name} is another replay, begun at {begun}: {}", others.join("; ")))
        .next("give another --name to begin anew, or the same options to go on with that one")
}

/// The name was not begun yet when this command looked.
fn overtaken_by(name: &str, asked: &replay::Asked, overtaken: &replay::Overtaken) -> Failure {
    match overtaken {
        replay::Overtaken::Begun(kept) if !asked.others(kept).is_empty() => another(name, asked, kept),
        replay::Overtaken::Begun(_) | replay::Overtaken::Beginning => {
            Failure::failed(format!("--name {name}: {overtaken}"))
                .next("once that one has ended, the same command goes on with it if there is something left")
        }
    }
}

/// A replica would be told to have a slot of its own; every replay of a name has the same one.
fn is_turned_out(error: &anyhow::Error) -> bool {
    let by_another =
        |error: &DriverError| matches!(error, DriverError::SlotConflict { .. } | DriverError::InstanceConflict { .. });
    error.chain().any(|cause| cause.downcast_ref::<DriverError>().is_some_and(by_another))
}

fn turned_out(name: &str) -> Failure {
    Failure::failed(format!("--name {name}: another command goes on with this replay")).next(
        "leave it to that one; once it has ended, the same command compares, and goes on if there is something left",
    )
}

/// Where an isolated replay has its database and artifacts.
enum Shadow {
    None,
    Kept(PathBuf),
    /// Removed with its handle.
    Passing(tempfile::TempDir),
}

impl Shadow {
    fn of(isolated: bool, kept: Option<PathBuf>) -> Result<Self, Failure> {
        match (isolated, kept) {
            (false, _) => Ok(Self::None),
            (true, Some(directory)) => {
                let failed = format!("--shadow {} cannot be made", directory.display());
                std::fs::create_dir_all(&directory).map_err(|error| Failure::failed(failed).because(error))?;
                Ok(Self::Kept(directory))
            }
            (true, None) => {
                let made = tempfile::Builder::new().prefix("coafi-replay-").tempdir();
                let failed = "no temporary directory can be made; --shadow names one";
                Ok(Self::Passing(made.map_err(|error| Failure::failed(failed).because(error))?))
            }
        }
    }

    fn path(&self) -> Option<&std::path::Path> {
        match self {
            Self::None => None,
            Self::Kept(directory) => Some(directory),
            Self::Passing(directory) => Some(directory.path()),
        }
    }
}

fn planned(context: &Context, plan: &replay::Plan) -> Result<Exit, Failure> {
    let planned = Planned { events: plan.len(), undecided: plan.undecided, groups: &plan.groups, listed: &plan.listed };
    context.output().show(&planned, |planned| {
        let rows = planned.groups.iter().map(|group| {
            let of_type = group.event_type.clone().unwrap_or_else(|| "(no event)".to_owned());
            let numbers = [group.partition.to_string(), group.events.to_string()];
            let extent = [group.first_offset.to_string(), group.last_offset.to_string()];
            let times = [time(group.first_ms), time(group.last_ms)];
            [vec![group.topic.clone(), of_type], numbers.to_vec(), extent.to_vec(), times.to_vec()].concat()
        });
        let groups = table(&["topic", "type", "partition", "events", "first", "last", "from", "to"], 2, rows);
        let rows = planned.listed.iter().map(|listed| {
            let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
            let place = format!("{}[{}]@{}", listed.topic, listed.partition, listed.offset);
            [place, or_none(&listed.event_type), or_none(&listed.id)]
        });
        let listed = table(&["event", "type", "id"], 3, rows);
        let more = planned.events - planned.listed.len();
        let more = if more > 0 { format!("\n… and {more} more") } else { String::new() };
        format!("{groups}\n\n{listed}{more}\n\n{} events are meant", planned.events)
    })?;
    Ok(Exit::Ok)
}

fn text(shown: &Shown<'_>) -> String {
    let replay::Comparison {
        same,
        same_failed,
        different,
        not_called,
        replayed_only,
        recorded_only,
        undecided,
        not_reached,
        outcomes,
        differences,
    } = shown.comparison;
    let mut text = String::new();
    if !differences.is_empty() {
        let rows = differences.iter().map(|difference| {
            let place = format!("{}[{}]@{}", difference.topic, difference.partition, difference.offset);
            [place, difference.what.join(", "), side(difference.recorded.as_ref()), side(difference.replayed.as_ref())]
        });
        text += &table(&["event", "differs in", "recorded", "replayed"], 4, rows);
        text += "\n\n";
    }
    let not_reached = if *not_reached > 0 { format!(", not reached {not_reached}") } else { String::new() };
    let not_called = match not_called {
        0 => String::new(),
        count => format!(", not called {count} (endpoints, by the same routes: --effects calls them)"),
    };
    let outcomes: Vec<_> = outcomes.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
    text += &format!(
        "{} events: {}\nsame {same} ({same_failed} of them failed, then as now), different {different}, replayed only {replayed_only}, recorded only {recorded_only}, \
         undecided {undecided}{not_called}{not_reached}",
        shown.events,
        if outcomes.is_empty() { "no outcome".to_owned() } else { outcomes.join(", ") },
    );
    text
}

fn side(side: Option<&replay::Side>) -> String {
    let Some(side) = side else { return "-".to_owned() };
    let outcome = serde_json::to_value(side.outcome).ok().and_then(|value| value.as_str().map(str::to_owned));
    let parts = [outcome, side.error_class.clone(), side.error_code.clone(), side.route.clone()];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn time(ms: Option<i64>) -> String {
    ms.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()).map_or_else(|| "-".to_owned(), |time| time.to_string())
}

fn name(text: &str) -> Result<String, String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || ['-', '_'].contains(&c);
    if text.is_empty() || text.len() > MAX_NAME_BYTES || !text.chars().all(fine) {
        return Err(format!("allowed: 1 to {MAX_NAME_BYTES} letters, digits, '-' and '_'"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn whoever_is_turned_out_of_a_replay_is_told_who_goes_on_with_it() {
        let conflict = DriverError::SlotConflict { id: "g.replay.x/replay".to_owned(), times: 3 };
        let error = Err::<(), _>(conflict).context("the replica has ended").unwrap_err();
        assert!(is_turned_out(&error));
        assert!(!is_turned_out(&anyhow::Error::new(DriverError::Panicked("poll"))));
        assert_eq!(turned_out("x").to_string(), "--name x: another command goes on with this replay");
    }
}
