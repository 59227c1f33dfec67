//! Templates: of a notification's text, and of what messages look like.
//!
//! Those that the program ships lay messages out; a file of the same name in `notifications.templates_dir` replaces one, and
//! any other `*.txt` there is a text that notifications ask for by its name. What is wrong is said with file and line.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use minijinja::{AutoEscape, Environment, Output, State, Value as Filled};
use serde::Serialize;

use crate::jinja;

/// Steps of one filling: a template that takes more is wrong.
const FUEL: u64 = 200_000;
/// Of what one filling gives.
const OUTPUT_BYTES_MAX: usize = 256 << 10;
/// Of one file.
const FILE_BYTES_MAX: u64 = 64 << 10;
const FILES_MAX: usize = 200;

pub(super) const SLACK: &str = "slack.mrkdwn";
pub(super) const EMAIL_SUBJECT: &str = "email.subject.txt";
pub(super) const EMAIL_TEXT: &str = "email.txt";
pub(super) const EMAIL_HTML: &str = "email.html";
pub(super) const ALERT: &str = "alert.txt";

const SHIPPED: [(&str, &str); 5] = [
    (SLACK, include_str!("layouts/slack.mrkdwn")),
    (EMAIL_SUBJECT, include_str!("layouts/email.subject.txt")),
    (EMAIL_TEXT, include_str!("layouts/email.txt")),
    (EMAIL_HTML, include_str!("layouts/email.html")),
    (ALERT, include_str!("layouts/alert.txt")),
];

/// What makes a text be escaped as Slack wants it.
const MRKDWN: &str = "mrkdwn";

/// Every template, parsed.
#[derive(Debug)]
pub struct Templates {
    environment: Environment<'static>,
    /// Names of those for texts.
    texts: BTreeSet<String>,
}

/// A template that is wrong, or does not fit what it is filled with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("{place}: {message}")]
    Wrong { place: String, message: String },
    #[error("there is no template {name:?}; there are: {known}")]
    Unknown { name: String, known: String },
}

impl Templates {
    /// Those that are shipped, then those of the directory.
    ///
    /// # Errors
    /// A file that cannot be read or parsed.
    pub fn load(directory: Option<&Path>) -> Result<Self, TemplateError> {
        let mut environment = jinja::environment(FUEL);
        environment.set_auto_escape_callback(|name| match name.rsplit_once('.') {
            Some((_, "html")) => AutoEscape::Html,
            Some((_, MRKDWN)) => AutoEscape::Custom(MRKDWN.into()),
            _ => AutoEscape::None,
        });
        environment.set_formatter(format);
        let mut templates = Self { environment, texts: BTreeSet::new() };
        for (name, text) in SHIPPED {
            templates.add(name, name, text.to_owned())?;
        }
        if let Some(directory) = directory {
            templates.add_all(directory)?;
        }
        Ok(templates)
    }

    fn add_all(&mut self, directory: &Path) -> Result<(), TemplateError> {
        let unreadable = |path: &Path, error: io::Error| TemplateError::Wrong {
            place: path.display().to_string(),
            message: format!("cannot be read: {error}"),
        };
        let entries = std::fs::read_dir(directory).map_err(|error| unreadable(directory, error))?;
        let mut paths = Vec::new();
        for entry in entries {
            paths.push(entry.map_err(|error| unreadable(directory, error))?.path());
            if paths.len() > FILES_MAX {
                let message = format!("has more than {FILES_MAX} files; allowed: at most that");
                return Err(TemplateError::Wrong { place: directory.display().to_string(), message });
            }
        }
        paths.sort();
        for path in paths {
            let Some(file) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let is_layout = SHIPPED.iter().any(|(name, _)| *name == file);
            if !is_layout && !file.ends_with(".txt") {
                continue;
            }
            let size = std::fs::metadata(&path).map_err(|error| unreadable(&path, error))?.len();
            if size > FILE_BYTES_MAX {
                let message = format!("has {size} bytes; allowed: at most {FILE_BYTES_MAX}");
                return Err(TemplateError::Wrong { place: path.display().to_string(), message });
            }
            let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&path, error))?;
            self.add(file, &path.display().to_string(), text)?;
            if let (false, Some(name)) = (is_layout, file.strip_suffix(".txt")) {
                self.texts.insert(name.to_owned());
            }
        }
        Ok(())
    }

    fn add(&mut self, name: &str, place: &str, text: String) -> Result<(), TemplateError> {
        self.environment.add_template_owned(name.to_owned(), text).map_err(|error| wrong(place, &error))
    }

    /// A notification's text, by the template of this name.
    ///
    /// # Errors
    /// There is none; or it cannot be filled with this.
    pub fn text(&self, name: &str, context: &impl Serialize) -> Result<String, TemplateError> {
        if !self.texts.contains(name) {
            let known = self.texts.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            let known = if known.is_empty() { "none".to_owned() } else { known };
            return Err(TemplateError::Unknown { name: name.to_owned(), known });
        }
        self.fill(&format!("{name}.txt"), context)
    }

    /// # Errors
    /// It cannot be filled with this.
    pub(super) fn fill(&self, file: &str, context: &impl Serialize) -> Result<String, TemplateError> {
        let template = self.environment.get_template(file).map_err(|error| wrong(file, &error))?;
        let text = jinja::fill(&template, context, OUTPUT_BYTES_MAX).map_err(|error| wrong(file, &error))?;
        Ok(text.trim_end().to_owned())
    }
}

/// What is filled in, escaped by the template's kind.
fn format(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Filled) -> Result<(), minijinja::Error> {
    if !matches!(state.auto_escape(), AutoEscape::Custom(kind) if kind == MRKDWN) {
        return minijinja::escape_formatter(out, state, value);
    }
    if value.is_safe() {
        return Ok(out.write_str(value.as_str().unwrap_or_default())?);
    }
    // <https://docs.slack.dev/messaging/formatting-message-text#escaping>: no mention, no link that nobody wrote.
    for c in value.to_string().chars() {
        match c {
            '&' => out.write_str("&amp;"),
            '<' => out.write_str("&lt;"),
            '>' => out.write_str("&gt;"),
            other => out.write_char(other),
        }?;
    }
    Ok(())
}

fn wrong(place: &str, error: &minijinja::Error) -> TemplateError {
    let place = error.line().map_or_else(|| place.to_owned(), |line| format!("{place}:{line}"));
    TemplateError::Wrong { place, message: jinja::message(error) }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    fn with(files: &[(&str, &str)]) -> Result<Templates, String> {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        let here = format!("{}/", directory.path().display());
        Templates::load(Some(directory.path())).map_err(|error| error.to_string().replace(&here, ""))
    }

    #[test]
    fn a_text_is_made_of_the_data_and_what_is_missing_is_said_with_its_line() {
        let templates =
            with(&[("late.txt", "Late:\n{{ data.part }} by {{ data.days }} days & more\n"), ("x.md", "")]).unwrap();
        let text = templates.text("late", &json!({"data": {"part": "<wing>", "days": 2}}));
        assert_eq!(text.unwrap(), "Late:\n<wing> by 2 days & more");
        let said = |name: &str| templates.text(name, &json!({"data": {}})).unwrap_err().to_string();
        expect!["late.txt:2: undefined value: `data.part` is undefined"].assert_eq(&said("late"));
        expect![[r#"there is no template "x"; there are: late"#]].assert_eq(&said("x"));
    }

    #[test]
    fn what_cannot_be_parsed_is_said_when_it_is_read() {
        expect!["bad.txt:2: syntax error: unexpected end of input, expected end of variable block"]
            .assert_eq(&with(&[("bad.txt", "one\n{{ two")]).unwrap_err());
        let long = "x".repeat(FILE_BYTES_MAX as usize + 1);
        expect!["long.txt: has 65537 bytes; allowed: at most 65536"]
            .assert_eq(&with(&[("long.txt", &long)]).unwrap_err());
    }

    #[test]
    fn a_template_without_end_is_stopped() {
        let endless = "{% for a in range(10000) %}{% for b in range(10000) %}{{ a }}{% endfor %}{% endfor %}";
        let large = "{% for a in range(9000) %}{{ data }}{% endfor %}";
        let templates = with(&[("endless.txt", endless), ("large.txt", large)]).unwrap();
        let said = |name: &str| templates.text(name, &json!({"data": "x".repeat(100)})).unwrap_err().to_string();
        expect!["endless.txt:1: engine ran out of fuel"].assert_eq(&said("endless"));
        assert!(said("large").starts_with("large.txt"), "{}", said("large"));
    }

    #[test]
    fn what_is_filled_in_is_escaped_by_the_kind_of_the_file() {
        let layouts =
            [("slack.mrkdwn", "<https://x|y> {{ t }}"), ("email.html", "<b>{{ t }}</b>"), ("email.txt", "{{ t }}")];
        let templates = with(&layouts).unwrap();
        let filled = |file| templates.fill(file, &json!({"t": "<!channel> & \"q\""})).unwrap();
        assert_eq!(filled(SLACK), "<https://x|y> &lt;!channel&gt; &amp; \"q\"");
        assert_eq!(filled(EMAIL_HTML), "<b>&lt;!channel&gt; &amp; &quot;q&quot;</b>");
        assert_eq!(filled(EMAIL_TEXT), "<!channel> & \"q\"");
    }
}
