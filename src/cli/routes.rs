//! `coafi routes`: checks the routes file, and tells which way an event would take.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use comfy_table::{Table, presets};
use serde_json::json;

use super::Answer;
use crate::app;
use crate::config::{HttpEndpoint, format_duration};
use crate::dispatch;
use crate::dispatch::routes::Explanation;
use crate::event::{Event, Offset, Record, RecordBuilder};
use crate::kafka::topics::Declaration;
use crate::outgoing::HTTP_ENDPOINT;

#[derive(Debug, Subcommand)]
pub(crate) enum Routes {
    /// Check the routes file: errors, and what is probably not meant.
    #[command(after_help = "Examples:\n  coafi routes lint\n  coafi routes lint --output json\n\n\
                            Exit codes: 0 nothing found, 1 warnings, 2 the file is refused.")]
    Lint,
    /// Tell which route an event takes, and what happens when it fails.
    Explain(Explain),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi routes explain --type git.commit
  coafi routes explain --type git.commit --topic coafi.git.retry.1m
  coafi routes explain --data event.json

event.json is a structured CloudEvent; its filter is evaluated.

Exit codes: 0 a route takes it, 1 none does, or event.json is no event, 2 the command line or the
routes file is wrong.")]
pub(crate) struct Explain {
    /// CloudEvents type.
    #[arg(long = "type", required_unless_present = "data")]
    pub event_type: Option<String>,
    /// CloudEvents source.
    #[arg(long, default_value = "")]
    pub source: String,
    /// Topic that the event is in; by default the topic whose declaration names the type's schema.
    #[arg(long)]
    pub topic: Option<String>,
    /// File with a structured CloudEvent (JSON).
    #[arg(long, conflicts_with_all = ["event_type", "source"])]
    pub data: Option<PathBuf>,
}

impl Routes {
    /// The answer is no if there are warnings, or no route takes the event.
    ///
    /// # Errors
    /// The event file cannot be read or is no event.
    pub(crate) fn run(
        &self,
        routes: &dispatch::Routes,
        endpoints: &[HttpEndpoint],
        declarations: &[Declaration],
    ) -> anyhow::Result<Answer> {
        match self {
            Self::Lint => Ok(lint(routes, declarations)),
            Self::Explain(explain) => explain.run(routes, endpoints, declarations),
        }
    }
}

fn lint(routes: &dispatch::Routes, declarations: &[Declaration]) -> Answer {
    let topics = app::known_topics(declarations);
    let topics: Vec<&str> = topics.keys().map(String::as_str).collect();
    let warnings: Vec<String> = routes.lint(&topics).iter().map(ToString::to_string).collect();
    let mut lines: Vec<String> = warnings.iter().map(|warning| format!("warning: {warning}")).collect();
    lines.push(format!("{} routes, version {}", routes.list().len(), routes.version()));
    Answer {
        json: json!({"routes": routes.list().len(), "version": routes.version(), "warnings": warnings}),
        text: lines.join("\n"),
        yes: warnings.is_empty(),
    }
}

impl Explain {
    fn run(
        &self,
        routes: &dispatch::Routes,
        endpoints: &[HttpEndpoint],
        declarations: &[Declaration],
    ) -> anyhow::Result<Answer> {
        let event = self.data.as_deref().map(|file| read_event(file, "")).transpose()?;
        let (event_type, source) = match &event {
            Some(event) => (event.event_type(), event.source()),
            None => (self.event_type.as_deref().unwrap_or_default(), self.source.as_str()),
        };
        let topic = self.topic.as_deref().or_else(|| app::topic_of_type(declarations, event_type));
        let (explanation, id) = routes.explain(topic.unwrap_or_default(), event_type, source);
        let filter = id.and_then(|id| routes.route(id).filter.as_ref()).zip(event.as_ref());
        let wanted = filter.map(|(filter, event)| {
            let data = serde_json::from_slice(event.data()).ok();
            filter.wants(event, data.as_ref()).map_err(|error| error.to_string())
        });
        let mut json = serde_json::to_value(&explanation)?;
        json["wanted"] = match &wanted {
            Some(Ok(wanted)) => (*wanted).into(),
            Some(Err(error)) => json!({"error": error}),
            None => serde_json::Value::Null,
        };
        json["topic"] = topic.into();
        let called = called(&explanation, endpoints);
        if !called.is_empty() {
            json["endpoints"] = called.iter().map(|endpoint| describe_endpoint(endpoint)).collect();
        }
        let mut text = match topic {
            Some(topic) => format!("type {event_type} in topic {topic}\n"),
            None => format!("type {event_type}: no declared topic has it, so give its --topic\n"),
        };
        text += &describe(&explanation, &called, wanted.as_ref()).expect("a String takes all");
        Ok(Answer { json, text, yes: explanation.route.is_some() })
    }
}

fn read_event(file: &Path, topic: &str) -> anyhow::Result<Event> {
    let text = fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let mut builder = RecordBuilder::new(None, Some(&text), 64);
    builder.header(b"content-type", Some(b"application/cloudevents+json"));
    let record: Record = builder.build(topic.into(), 0, Offset(0), None);
    Event::parse(record).with_context(|| format!("{} is not a structured CloudEvent", file.display()))
}

/// The endpoints among the handlers.
fn called<'a>(explanation: &Explanation, endpoints: &'a [HttpEndpoint]) -> Vec<&'a HttpEndpoint> {
    let named = explanation.handlers.iter().filter_map(|handler| handler.strip_prefix(HTTP_ENDPOINT));
    named.filter_map(|name| endpoints.iter().find(|endpoint| endpoint.name == name)).collect()
}

fn describe_endpoint(endpoint: &HttpEndpoint) -> serde_json::Value {
    json!({
        "name": endpoint.name,
        "url": endpoint.url.to_string(),
        "signed": !endpoint.secrets.is_empty(),
        "timeout": format_duration(endpoint.timeout),
        "emits": endpoint.emits,
    })
}

fn describe(
    explanation: &Explanation,
    called: &[&HttpEndpoint],
    wanted: Option<&Result<bool, String>>,
) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    for candidate in &explanation.candidates {
        match &candidate.refused_by {
            Some(why) => writeln!(out, "  {}: no, {why}", candidate.route)?,
            None => writeln!(out, "  {}: takes it", candidate.route)?,
        }
    }
    let Some(route) = &explanation.route else {
        write!(out, "no route takes it: coafi.unprocessed")?;
        return Ok(out);
    };
    let filter = explanation.filter.as_deref().unwrap_or("-");
    let wanted = match wanted {
        Some(Ok(true)) => " (wants it)".to_owned(),
        Some(Ok(false)) => " (does not want it: audited as filtered)".to_owned(),
        Some(Err(error)) => format!(" (fails: {error})"),
        None => String::new(),
    };
    writeln!(out)?;
    for endpoint in called {
        let signed = if endpoint.secrets.is_empty() { "not signed" } else { "signed" };
        let within = format_duration(endpoint.timeout);
        writeln!(out, "{HTTP_ENDPOINT}{} posts to {}, {signed}, within {within}", endpoint.name, endpoint.url)?;
    }
    for (name, value) in [
        ("route", if explanation.enabled { route.clone() } else { format!("{route} (disabled: its events wait)") }),
        ("handlers", explanation.handlers.join(", ")),
        ("filter", format!("{filter}{wanted}")),
        ("ordering", explanation.ordering.to_owned()),
        ("deadline", explanation.deadline.clone()),
        ("concurrency", explanation.concurrency.to_string()),
        ("rate limit", explanation.rate_limit.clone().unwrap_or_else(|| "-".to_owned())),
        ("per tenant", explanation.tenant.clone().unwrap_or_else(|| "-".to_owned())),
        (
            "dependencies",
            if explanation.dependencies.is_empty() { "-".to_owned() } else { explanation.dependencies.join(", ") },
        ),
        ("version", explanation.version.clone()),
    ] {
        writeln!(out, "{name:<13}{value}")?;
    }
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY).set_header(["attempt", "where", "after"]);
    table.add_row(["1".to_owned(), "at once".to_owned(), String::new()]);
    for step in &explanation.retry {
        let attempt = step.attempt.map_or_else(|| "then".to_owned(), |attempt| attempt.to_string());
        table.add_row([attempt, step.place.clone(), step.after.clone()]);
    }
    write!(out, "{table}")?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{app, config::Settings, kafka::topics};

    fn explain(event_type: &str, topic: Option<&str>) -> Answer {
        let declarations = topics::embedded().unwrap();
        let routes = app::routes(&Settings::default(), &declarations).unwrap();
        let explain = Explain {
            event_type: Some(event_type.to_owned()),
            source: String::new(),
            topic: topic.map(str::to_owned),
            data: None,
        };
        Routes::Explain(explain).run(&routes, &[], &declarations).unwrap()
    }

    #[test]
    fn an_event_is_looked_for_in_the_topic_of_its_type() {
        let answer = explain("git.commit", None);
        assert!(answer.yes && answer.json["topic"] == "coafi.git", "{}", answer.text);
        assert!(!explain("git.commit", Some("coafi.api")).yes, "what is asked for goes before");
        let unknown = explain("nobody.knows", None);
        assert!(!unknown.yes && unknown.text.contains("give its --topic"), "{}", unknown.text);
    }
}
