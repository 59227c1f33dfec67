//! A document's outline: front matter, title, headings, anchors and links, each with its line.

use std::collections::HashSet;

use pulldown_cmark::{Event, HeadingLevel, LinkType, Parser, Tag, TagEnd};
use serde_json::{Map, Value};

use super::slug::Slugs;
use super::{DIALECT, front_matter};
use crate::handlers::git_commit::problems::{Problems, shorten};

/// Characters of a title that are kept.
const MAX_TITLE_CHARS: usize = 200;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heading {
    /// 1 to 6.
    pub(crate) level: u8,
    pub(crate) text: String,
    /// Unique within the document.
    pub(crate) anchor: String,
    pub(crate) line: u64,
}

/// A link or an image, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) destination: String,
    pub(crate) line: u64,
    pub(crate) is_image: bool,
}

/// What was found in one Markdown file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Document {
    /// `None`: there is none, or it is broken (which is among the problems).
    pub(crate) front_matter: Option<Map<String, Value>>,
    /// Where the Markdown starts, in bytes.
    pub(crate) body: usize,
    pub(crate) headings: Vec<Heading>,
    pub(crate) links: Vec<Link>,
    /// `id` and `name` of raw HTML elements.
    pub(crate) html_anchors: HashSet<String>,
    /// A raw `<h1>` (many READMEs centre theirs so) counts as a first-level heading.
    has_html_title: bool,
}

impl Document {
    /// Parses and checks the order of headings. Any text is Markdown, so there is always a document.
    #[must_use]
    pub(crate) fn parse(text: &str, problems: &mut Problems) -> Self {
        let split = front_matter::split(text);
        let mut document = Self { body: split.body, ..Self::default() };
        document.front_matter = split.yaml.and_then(|yaml| front_matter::parse(yaml, problems));
        document.collect(text);
        document.check_order(problems);
        document
    }

    /// The front matter's `title`, else the first heading.
    #[must_use]
    pub(crate) fn title(&self) -> Option<String> {
        let given = self.front_matter.as_ref().and_then(|members| members.get("title")).and_then(Value::as_str);
        let title = given.or_else(|| self.headings.first().map(|heading| heading.text.as_str()));
        title.map(str::trim).filter(|title| !title.is_empty()).map(|title| shorten(title, MAX_TITLE_CHARS))
    }

    /// Whether `#anchor` leads anywhere in this document.
    #[must_use]
    pub(crate) fn has_anchor(&self, anchor: &str) -> bool {
        let wanted = anchor.to_lowercase();
        // GitHub prefixes ids of user content, and links may name them so.
        let wanted = wanted.strip_prefix("user-content-").unwrap_or(&wanted);
        wanted.is_empty()
            || wanted == "top"
            || self.headings.iter().any(|heading| heading.anchor == wanted)
            || self.html_anchors.contains(wanted)
    }

    fn collect(&mut self, text: &str) {
        let lines = Lines::of(text);
        let mut slugs = Slugs::default();
        let mut heading: Option<Heading> = None;
        for (event, range) in Parser::new_ext(&text[self.body..], DIALECT).into_offset_iter() {
            let line = lines.number(self.body + range.start);
            match event {
                Event::Start(Tag::Heading { level, .. }) => {
                    heading = Some(Heading { level: depth(level), text: String::new(), anchor: String::new(), line });
                }
                Event::End(TagEnd::Heading(_)) => {
                    if let Some(mut heading) = heading.take() {
                        heading.anchor = slugs.next(&heading.text);
                        self.headings.push(heading);
                    }
                }
                Event::Text(text) | Event::Code(text) => {
                    if let Some(heading) = &mut heading {
                        heading.text.push_str(&text);
                    }
                }
                Event::SoftBreak | Event::HardBreak => {
                    if let Some(heading) = &mut heading {
                        heading.text.push(' ');
                    }
                }
                Event::Start(Tag::Link { dest_url, link_type, .. }) if link_type != LinkType::Email => {
                    self.links.push(Link { destination: dest_url.into_string(), line, is_image: false });
                }
                Event::Start(Tag::Image { dest_url, .. }) => {
                    self.links.push(Link { destination: dest_url.into_string(), line, is_image: true });
                }
                Event::Html(html) | Event::InlineHtml(html) => self.collect_html(&html),
                _ => {}
            }
        }
    }

    fn collect_html(&mut self, html: &str) {
        self.has_html_title |= html.to_ascii_lowercase().contains("<h1");
        for attribute in ["id=", "name="] {
            for (_, rest) in html.match_indices(attribute).map(|(at, found)| html.split_at(at + found.len())) {
                let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''));
                let value = quote.and_then(|quote| rest[1..].split(quote).next());
                self.html_anchors.extend(value.map(str::to_lowercase));
            }
        }
    }

    /// At most one first-level heading, the first heading is it, and no level is skipped on the way down.
    fn check_order(&self, problems: &mut Problems) {
        let has_title = self.has_html_title || self.front_matter.as_ref().is_some_and(|m| m.contains_key("title"));
        let mut previous = u8::from(has_title);
        let mut first_level: Option<u64> = None;
        for Heading { level, text, line, .. } in &self.headings {
            let text = shorten(text, 60);
            match first_level {
                Some(earlier) if *level == 1 => {
                    problems.add(*line, format_args!("second first-level heading {text:?}; the first is on line {earlier}"));
                }
                None if *level == 1 => first_level = Some(*line),
                _ => {}
            }
            if *level > previous + 1 {
                let expected = previous + 1;
                problems.add(*line, format_args!("heading {text:?} has level {level}, expected {expected} or less"));
            }
            previous = *level;
        }
    }
}

const fn depth(level: HeadingLevel) -> u8 {
    match level {
        HeadingLevel::H1 => 1,
        HeadingLevel::H2 => 2,
        HeadingLevel::H3 => 3,
        HeadingLevel::H4 => 4,
        HeadingLevel::H5 => 5,
        HeadingLevel::H6 => 6,
    }
}

/// Line numbers of byte positions.
struct Lines {
    ends: Vec<usize>,
}

impl Lines {
    fn of(text: &str) -> Self {
        Self { ends: text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect() }
    }

    fn number(&self, position: usize) -> u64 {
        self.ends.partition_point(|end| *end < position) as u64 + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let mut problems = Problems::default();
        let _ = Document::parse(text, &mut problems);
        assert_eq!(problems.into_messages(), expected, "{text:?}");
    }

    #[test]
    fn headings_go_down_one_level_at_a_time() {
        check("# A\n## B\n### C\n## D\n", &[]);
        check("no headings at all", &[]);
        check("", &[]);
        check("# A\n\n### C\n", &["line 3: heading \"C\" has level 3, expected 2 or less"]);
        check("## A\n", &["line 1: heading \"A\" has level 2, expected 1 or less"]);
        check("A\n===\n\nB\n===\n", &["line 4: second first-level heading \"B\"; the first is on line 1"]);
        check("```\n### not a heading\n```\n", &[]);
    }

    #[test]
    fn a_title_elsewhere_stands_for_the_first_level() {
        check("---\ntitle: T\n---\n## A\n", &[]);
        check("<h1 align=\"center\">T</h1>\n\n## A\n", &[]);
        check("---\ndate: 1\n---\n## A\n", &["line 4: heading \"A\" has level 2, expected 1 or less"]);
    }

    #[test]
    fn broken_front_matter_has_its_line() {
        check("---\na: 1\na: 2\n---\n# A\n", &["line 3: column 1: duplicate mapping key: a"]);
        check("---\n- a\n---\n", &["line 2: front matter must be a mapping of names to values"]);
    }

    #[test]
    fn links_images_and_anchors_are_found_with_their_lines() {
        let text = "---\na: 1\n---\n# A `b`\n\nsee [x](y.md \"t\")\n![i](z.png) <a name=\"Here\"></a> <me@example.org>\n\n[r]: w.md\n\n[r]\n";
        let document = Document::parse(text, &mut Problems::default());
        let links: Vec<_> = document.links.iter().map(|l| (l.destination.as_str(), l.line, l.is_image)).collect();
        assert_eq!(links, [("y.md", 6, false), ("z.png", 7, true), ("w.md", 11, false)]);
        assert_eq!(document.title().as_deref(), Some("A b"));
        for anchor in ["a-b", "A-B", "here", "user-content-a-b", "", "top"] {
            assert!(document.has_anchor(anchor), "{anchor}");
        }
        assert!(!document.has_anchor("elsewhere"));
    }

    #[test]
    fn a_title_is_shortened_and_cleaned() {
        let title = |text: &str| Document::parse(text, &mut Problems::default()).title();
        assert_eq!(title("---\ntitle: \"a\\u0000b\"\n---\n").as_deref(), Some("a b"));
        assert_eq!(title(&format!("# {}\n", "x".repeat(5_000))).map(|t| t.chars().count()), Some(MAX_TITLE_CHARS + 1));
        assert_eq!(title("#\n"), None);
    }
}
