//! `coafi schedule next`.

use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use super::super::{Answer, Context, Exit, Failure};
use super::{local, named};

/// Show the next due times of a schedule, as it is configured here. Asks nobody.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi schedule next daily-report
  coafi schedule next daily-report --count 400 | grep -E -- '-0(3|4)-'   # around a change of the clock

Exit codes: 0 shown, 2 there is no such schedule.")]
pub(in crate::cli) struct Next {
    /// The schedule.
    name: String,
    /// How many.
    #[arg(long, value_name = "NUMBER", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    count: u16,
}

impl Next {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let schedule = named(context.settings(), &self.name)?;
        let first = schedule.timetable.next_after(Timestamp::now());
        let due = std::iter::successors(first, |due| schedule.timetable.next_after(*due));
        let due: Vec<Timestamp> = due.take(usize::from(self.count)).collect();
        let lines: Vec<String> = due.iter().map(|due| local(schedule, *due)).collect();
        let json = json!({"schedule": self.name, "when": schedule.timetable.to_string(), "due": due});
        if !schedule.enabled {
            context.output().remark("it is disabled: none of these is fired");
        }
        context.output().answer(&Answer { json, text: lines.join("\n"), yes: true })
    }
}
