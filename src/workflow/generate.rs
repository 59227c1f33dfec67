//! A step that makes a document. Its output is `{artifactPath, sha256, bytes}`, of the file that it is stored as.

use std::collections::BTreeSet;
use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::scope::{STEPS, Scope};
use super::{Fault, Template};
use crate::jinja;

/// Steps of one filling: some ten thousand rows.
const FUEL: u64 = 1_000_000;
/// Of a document. What a run's state can hold is in it twice.
const BYTES_MAX: usize = 1 << 20;
/// The only one of its environment.
const TEMPLATE: &str = "document";

/// A document to be made.
#[derive(Clone, Debug)]
pub struct Generate {
    /// The readable part of its path.
    pub name: Template,
    pub format: Format,
    environment: Arc<Environment<'static>>,
    /// Variables that the template reads, with the members that it names: `steps.a.output`.
    reads: BTreeSet<String>,
}

/// What a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// What is filled in is escaped.
    Html,
    Markdown,
    Text,
    /// What is filled in is JSON: a text is in quotes.
    Json,
}

impl Format {
    /// Of its file.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Html => "html",
            Self::Markdown => "md",
            Self::Text => "txt",
            Self::Json => "json",
        }
    }

    const fn escape(self) -> AutoEscape {
        match self {
            Self::Html => AutoEscape::Html,
            Self::Json => AutoEscape::Json,
            Self::Markdown | Self::Text => AutoEscape::None,
        }
    }
}

impl Generate {
    /// # Errors
    /// What is wrong with the template, with its line there.
    pub(super) fn parse(name: Template, format: Format, text: &str, allowed: &[&str]) -> Result<Self, String> {
        let mut environment = jinja::environment(FUEL);
        // A line with nothing but a statement leaves none behind, and a document ends as its template does.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build();
        environment.set_syntax(syntax.map_err(|error| wrong(&error))?);
        environment.set_auto_escape_callback(move |_| format.escape());
        let added = environment.add_template_owned(TEMPLATE, text.to_owned());
        let template = added.and_then(|()| environment.get_template(TEMPLATE)).map_err(|error| wrong(&error))?;
        let functions: BTreeSet<&str> = environment.globals().map(|(name, _)| name).collect();
        let reads = template.undeclared_variables(true).into_iter();
        let reads: BTreeSet<String> = reads.filter(|read| !functions.contains(root(read))).collect();
        if let Some(unknown) = reads.iter().map(|read| root(read)).find(|root| !allowed.contains(root)) {
            return Err(format!("names {unknown:?}; allowed: {}", allowed.join(", ")));
        }
        Ok(Self { name, format, environment: Arc::new(environment), reads })
    }

    /// The steps whose outputs the template reads by name.
    pub(super) fn steps(&self) -> impl Iterator<Item = &str> {
        let members = self.reads.iter().filter_map(|read| read.split_once('.'));
        members.filter(|(of, _)| *of == STEPS).map(|(_, member)| root(member))
    }

    /// # Errors
    /// The template does not fit what it is filled with.
    pub(super) fn document(&self, scope: &Scope) -> Result<String, Fault> {
        let template = self.environment.get_template(TEMPLATE);
        let text = template.and_then(|template| jinja::fill(&template, scope, BYTES_MAX));
        let text = text.map_err(|error| fault(wrong(&error)))?;
        if self.format == Format::Json {
            serde_json::from_str::<IgnoredAny>(&text).map_err(|error| fault(format!("gives no JSON: {error}")))?;
        }
        Ok(text)
    }
}

/// The variable of `steps.a.output`.
fn root(read: &str) -> &str {
    read.split_once('.').map_or(read, |(root, _)| root)
}

fn wrong(error: &minijinja::Error) -> String {
    let line = error.line().map(|line| format!("line {line}: ")).unwrap_or_default();
    format!("{line}{}", jinja::message(error))
}

fn fault(message: String) -> Fault {
    Fault::new("document_not_made", format!("generate.template: {message}"))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;
    use crate::workflow::scope::DATA;

    fn made(format: Format, template: &str) -> Result<String, Fault> {
        let generate = Generate::parse(Template::Literal("n".into()), format, template, &[DATA]).unwrap();
        generate.document(&Scope::of_event(json!({}), json!({"part": "<wing> \"7\"", "rows": [1, 2]})))
    }

    #[test]
    fn what_is_filled_in_is_escaped_by_the_format() {
        let check = |format, expected: &str| assert_eq!(made(format, "{{ data.part }}\n").unwrap(), expected);
        check(Format::Html, "&lt;wing&gt; &quot;7&quot;\n");
        check(Format::Json, "\"<wing> \\\"7\\\"\"\n");
        check(Format::Markdown, "<wing> \"7\"\n");
        check(Format::Text, "<wing> \"7\"\n");
    }

    #[test]
    fn lines_of_statements_leave_none_behind() {
        let template =
            "Rows\n{% for row in data.rows %}\n  {% if row > 1 %}\n- {{ row }}\n  {% endif %}\n{% endfor %}\n";
        assert_eq!(made(Format::Text, template).unwrap(), "Rows\n- 2\n");
    }

    #[test]
    fn what_cannot_be_made_is_said_with_its_line() {
        let check = |format, template: &str, expected: Expect| {
            let fault = made(format, template).unwrap_err();
            assert_eq!(fault.code, "document_not_made");
            expected.assert_eq(&fault.message);
        };
        check(
            Format::Text,
            "one\n{{ data.prat }}",
            expect!["generate.template: line 2: undefined value: `data.prat` is undefined"],
        );
        check(
            Format::Text,
            "{{ data.part | shout }}",
            expect!["generate.template: line 1: unknown filter: filter shout is unknown"],
        );
        let endless = "{% for a in range(10000) %}{% for b in range(10000) %}{{ a }}{% endfor %}{% endfor %}";
        check(Format::Text, endless, expect!["generate.template: line 1: engine ran out of fuel"]);
        check(
            Format::Text,
            &format!("{{% for a in range(9000) %}}{}{{% endfor %}}", "x".repeat(200)),
            expect![
                "generate.template: failed to write output: I/O error during rendering: it gives more than 1048576 bytes"
            ],
        );
        check(
            Format::Json,
            "[{{ data.part }},]",
            expect!["generate.template: gives no JSON: expected value at line 1 column 17"],
        );
    }
}
