//! The options by which commands are told which recorded events are meant.

use bytes::Bytes;
use clap::Args;

use super::Failure;
use crate::dispatch::routes::Patterns;
use crate::dispatch::{Filter, Selection};
use crate::kafka::scan::{Bound, Wanted};

/// What events are like. All that is given must hold.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Which events")]
pub struct Selecting {
    /// Only events of these types; * stands for any characters.
    #[arg(long = "type", value_name = "GLOB", value_parser = glob)]
    pub types: Vec<String>,
    /// Only events of these sources; * stands for any characters.
    #[arg(long = "source", value_name = "GLOB", value_parser = glob)]
    pub sources: Vec<String>,
    /// Only records with one of these keys.
    #[arg(long = "key", value_name = "KEY")]
    pub keys: Vec<String>,
    /// Only events for which this is true: CEL over `event.<attribute>` and `data.<member>`, as in a route's filter.
    #[arg(long, value_name = "CEL", value_parser = Filter::compile)]
    pub filter: Option<Filter>,
}

/// Where events stand in their topic.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Which events")]
pub struct Between {
    /// The first: an offset, a time (2026-01-31T12:00:00Z), how long ago (2h), or beginning.
    #[arg(long, value_name = "BOUND", default_value = "beginning", allow_hyphen_values = true)]
    pub from: Bound,
    /// Before this one: an offset, a time, how long ago, or end.
    #[arg(long, value_name = "BOUND", default_value = "end", allow_hyphen_values = true)]
    pub to: Bound,
    /// Only these partitions.
    #[arg(long = "partition", value_name = "NUMBER", value_parser = clap::value_parser!(i32).range(0..))]
    pub partitions: Vec<i32>,
}

impl Selecting {
    /// # Errors
    /// Patterns that are too much together.
    pub fn selection(&self) -> Result<Selection, Failure> {
        Ok(Selection {
            types: patterns("--type", &self.types)?,
            sources: patterns("--source", &self.sources)?,
            keys: self.keys.iter().map(|key| Bytes::copy_from_slice(key.as_bytes())).collect(),
            filter: self.filter.clone(),
        })
    }
}

impl Between {
    /// The bounds, in these topics.
    #[must_use]
    pub fn wanted(&self, topics: Vec<String>) -> Wanted {
        Wanted { topics, partitions: self.partitions.iter().copied().collect(), from: self.from, to: self.to }
    }
}

/// One glob, as the parser of an option's value: its error then names the option.
fn glob(text: &str) -> Result<String, String> {
    match Patterns::new(vec![text.to_owned()]) {
        Ok(_) => Ok(text.to_owned()),
        Err((_, why)) => Err(why),
    }
}

fn patterns(option: &str, globs: &[String]) -> Result<Patterns, Failure> {
    if globs.is_empty() {
        return Ok(Patterns::any());
    }
    Patterns::new(globs.to_vec()).map_err(|(glob, why)| Failure::usage(format!("{option} {glob:?}: {why}")))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        selecting: Selecting,
        #[command(flatten)]
        between: Between,
    }

    fn parse(arguments: &[&str]) -> Result<Line, clap::Error> {
        Line::try_parse_from([&["coafi"], arguments].concat())
    }

    #[test]
    fn without_options_everything_is_meant() {
        let line = parse(&[]).unwrap();
        assert_eq!((line.between.from, line.between.to), (Bound::Beginning, Bound::End));
        let selection = line.selecting.selection().unwrap();
        assert!(selection.types.is_any() && selection.keys.is_empty() && selection.filter.is_none());
    }

    #[test]
    fn a_wrong_value_names_its_option() {
        for (arguments, option) in [
            (["--type", "git.[a"], "--type"),
            (["--filter", "data.branch =="], "--filter"),
            (["--filter", "record.key == 'a'"], "--filter"),
            (["--from", "yesterday"], "--from"),
            (["--to", "4 weeks"], "--to"),
            (["--partition", "one"], "--partition"),
        ] {
            let error = parse(&arguments).unwrap_err().to_string();
            assert!(error.contains(option), "{arguments:?}: {error}");
        }
        let relative = parse(&["--from", "-2h", "--to", "5m ago", "--partition", "3"]).unwrap().between;
        assert!(matches!((relative.from, relative.to), (Bound::Ago(_), Bound::Ago(_))));
        assert_eq!(relative.partitions, [3]);
    }
}
