//! Markdown to one self-contained HTML page: anchors, a table of contents, a small stylesheet.
//!
//! The source is not trusted. Raw HTML is shown as text (comments are dropped), destinations are limited to schemes that
//! cannot run anything, and the page forbids scripts by a Content-Security-Policy as a second line. The page depends on
//! the document alone, so equal documents give equal bytes.

use std::fmt::{self, Write};

use pulldown_cmark::{CowStr, Event, Parser, Tag, TagEnd, html};

use super::{DIALECT, Document, Heading};

/// A page larger than this is not generated: tables and footnotes can blow up a small source.
pub(crate) const MAX_HTML_BYTES: usize = 16 * 1024 * 1024;

/// Fewer headings than this need no table of contents.
const MIN_CONTENTS: usize = 2;

const STYLE: &str = include_str!("style.css");

/// The page of `text`, which `document` was parsed from. `None` if it would be larger than [`MAX_HTML_BYTES`].
#[must_use]
pub(crate) fn render(text: &str, document: &Document, fallback_title: &str) -> Option<String> {
    let mut page = Page { html: String::with_capacity(text.len() * 2) };
    page.write(text, document, fallback_title).ok()?;
    Some(page.html)
}

struct Page {
    html: String,
}

impl Write for Page {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.html.len() + text.len() > MAX_HTML_BYTES {
            return Err(fmt::Error);
        }
        self.html.push_str(text);
        Ok(())
    }
}

impl Page {
    fn write(&mut self, text: &str, document: &Document, fallback_title: &str) -> fmt::Result {
        let title = document.title().unwrap_or_else(|| fallback_title.to_owned());
        self.write_str("<!DOCTYPE html>\n<html>\n<head>\n<meta charset=\"utf-8\">\n")?;
        self.write_str(
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src 'self' https: http:; \
             style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">\n",
        )?;
        self.write_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>")?;
        self.escaped(&title)?;
        write!(self, "</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n")?;
        self.contents(&document.headings)?;
        self.write_str("<main>\n")?;
        let mut safe = Safe { anchors: document.headings.iter(), html_block: None };
        let events = Parser::new_ext(&text[document.body..], DIALECT).flat_map(|event| safe.event(event));
        html::write_html_fmt(&mut *self, events)?;
        self.write_str("</main>\n</body>\n</html>\n")
    }

    fn contents(&mut self, headings: &[Heading]) -> fmt::Result {
        if headings.len() < MIN_CONTENTS {
            return Ok(());
        }
        self.write_str("<nav aria-label=\"Contents\">\n<ul>\n")?;
        for Heading { level, text, anchor, .. } in headings {
            write!(self, "<li class=\"level-{level}\"><a href=\"#{anchor}\">")?;
            self.escaped(text)?;
            self.write_str("</a></li>\n")?;
        }
        self.write_str("</ul>\n</nav>\n")
    }

    fn escaped(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '&' => self.write_str("&amp;")?,
                '<' => self.write_str("&lt;")?,
                '>' => self.write_str("&gt;")?,
                '"' => self.write_str("&quot;")?,
                c => self.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// Rewrites events so that nothing of the source reaches the page as markup.
struct Safe<'h> {
    anchors: std::slice::Iter<'h, Heading>,
    /// Raw HTML of the block that is being read.
    html_block: Option<String>,
}

impl Safe<'_> {
    fn event<'a>(&mut self, event: Event<'a>) -> Vec<Event<'a>> {
        match event {
            Event::Start(Tag::Heading { level, .. }) => self.heading(level),
            Event::Start(Tag::HtmlBlock) => {
                self.html_block = Some(String::new());
                Vec::new()
            }
            Event::End(TagEnd::HtmlBlock) => self.html_block.take().map_or_else(Vec::new, html_block),
            Event::Html(html) | Event::InlineHtml(html) => match &mut self.html_block {
                Some(block) => {
                    block.push_str(&html);
                    Vec::new()
                }
                None if is_comment(&html) => Vec::new(),
                None => vec![Event::Text(html)],
            },
            Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
                vec![Event::Start(Tag::Link { link_type, dest_url: safe_link(dest_url), title, id })]
            }
            Event::Start(Tag::Image { link_type, dest_url, title, id }) => {
                vec![Event::Start(Tag::Image { link_type, dest_url: safe_image(dest_url), title, id })]
            }
            event => vec![event],
        }
    }

    fn heading<'a>(&mut self, level: pulldown_cmark::HeadingLevel) -> Vec<Event<'a>> {
        // The outline was made from the same text by the same parser, so each heading has its entry.
        let anchor = self.anchors.next().map_or("", |heading| heading.anchor.as_str());
        let id = Some(CowStr::from(anchor.to_owned()));
        let start = Event::Start(Tag::Heading { level, id, classes: Vec::new(), attrs: Vec::new() });
        let link = format!("<a class=\"anchor\" href=\"#{anchor}\" aria-label=\"Link to this section\">#</a> ");
        vec![start, Event::Html(link.into())]
    }
}

fn html_block<'a>(block: String) -> Vec<Event<'a>> {
    if is_comment(&block) {
        return Vec::new();
    }
    vec![Event::Start(Tag::Paragraph), Event::Text(block.into()), Event::End(TagEnd::Paragraph)]
}

fn is_comment(html: &str) -> bool {
    let html = html.trim();
    html.starts_with("<!--") && html.find("-->").is_some_and(|end| end + "-->".len() == html.len())
}

fn safe_link(destination: CowStr<'_>) -> CowStr<'_> {
    if is_safe(&destination, &["http", "https", "mailto"]) { destination } else { "#".into() }
}

fn safe_image(destination: CowStr<'_>) -> CowStr<'_> {
    if is_safe(&destination, &["http", "https"]) { destination } else { "".into() }
}

/// Relative, or with one of these schemes. Browsers drop control characters and leading spaces before they look for the
/// scheme (WHATWG URL, 4.4), so whatever has a colon where a scheme would end must be on the list as it stands.
fn is_safe(destination: &str, schemes: &[&str]) -> bool {
    let Some(colon) = destination.find(':') else { return true };
    if destination[..colon].contains(['/', '?', '#']) {
        return true;
    }
    schemes.iter().any(|scheme| destination[..colon].eq_ignore_ascii_case(scheme))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::git_commit::problems::Problems;

    fn main_of(text: &str) -> String {
        let document = Document::parse(text, &mut Problems::default());
        let page = render(text, &document, "x.md").unwrap();
        let (_, main) = page.split_once("<main>\n").unwrap();
        main.split_once("</main>").unwrap().0.to_owned()
    }

    fn check(text: &str, expected: &str) {
        assert_eq!(main_of(text), expected, "{text:?}");
    }

    #[test]
    fn raw_html_is_shown_not_run() {
        check("<script>alert(1)</script>\n", "<p>&lt;script&gt;alert(1)&lt;/script&gt;\n</p>\n");
        check("a <img src=x onerror=alert(1)> b", "<p>a &lt;img src=x onerror=alert(1)&gt; b</p>\n");
        check("<!-- hidden -->\n\na <!-- b --> c\n", "<p>a  c</p>\n");
        check("<!-- a --><script>x</script>\n", "<p>&lt;!-- a --&gt;&lt;script&gt;x&lt;/script&gt;\n</p>\n");
    }

    #[test]
    fn destinations_cannot_run_anything() {
        for bad in [
            "javascript:alert(1)",
            "JaVaScRiPt:alert(1)",
            "java&#x0A;script:alert(1)",
            "&#1;javascript:alert(1)",
            "vbscript:x",
            "data:text/html;base64,PHNjcmlwdD4=",
            "file:///etc/passwd",
        ] {
            check(&format!("[a](<{bad}>)"), "<p><a href=\"#\">a</a></p>\n");
            check(&format!("![a](<{bad}>)"), "<p><img src=\"\" alt=\"a\" /></p>\n");
        }
        check("[a](../b.md#c:d)", "<p><a href=\"../b.md#c:d\">a</a></p>\n");
        check("<https://example.org/?a=\"b\">", "<p><a href=\"https://example.org/?a=%22b%22\">https://example.org/?a=\"b\"</a></p>\n");
    }

    #[test]
    fn attributes_cannot_be_broken_out_of() {
        let html = main_of("[a](<x\"onmouseover=alert(1)> 'y\"z')\n\n```\"><script>\ncode\n```\n\n# \"><b>x</b>\n");
        for bad in ["<script", "<b>", "x\"on", "y\"z"] {
            assert!(!html.contains(bad), "{bad} in {html}");
        }
    }

    #[test]
    fn a_title_is_escaped() {
        let text = "---\ntitle: </title><script>\n---\n";
        let page = render(text, &Document::parse(text, &mut Problems::default()), "x").unwrap();
        assert!(page.contains("<title>&lt;/title&gt;&lt;script&gt;</title>"), "{page}");
    }

    #[test]
    fn headings_get_anchors_and_contents() {
        let text = "# A\n## B & C\n## B & C\n";
        let page = render(text, &Document::parse(text, &mut Problems::default()), "x").unwrap();
        for part in [
            "<li class=\"level-2\"><a href=\"#b--c\">B &amp; C</a></li>",
            "<a href=\"#b--c-1\">",
            "<h2 id=\"b--c-1\"><a class=\"anchor\" href=\"#b--c-1\"",
        ] {
            assert!(page.contains(part), "{part} in {page}");
        }
    }

    #[test]
    fn a_page_is_what_it_was() {
        let text = include_str!("golden/guide.md");
        let mut problems = Problems::default();
        let document = Document::parse(text, &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        let page = render(text, &document, "guide.md").unwrap();
        expect_test::expect_file!["golden/guide.html"].assert_eq(&page);
    }

    #[test]
    fn hostile_input_gives_a_page_within_its_bound() {
        const BYTES: usize = 100_000;
        for piece in ["[", "![", "[a](", "<", "<!--", "`", "*a_", "> ", "- ", "#", "| ", "|-", "[^a]:", "&#", "\\", "\u{0}", "\u{202e}"] {
            let text = piece.repeat(BYTES / piece.len());
            let document = Document::parse(&text, &mut Problems::default());
            assert!(render(&text, &document, "x").is_none_or(|page| page.len() <= MAX_HTML_BYTES), "{piece:?}");
        }
        let table = format!("{}\n{}\n{}", "|a".repeat(2_000), "|-".repeat(2_000), "|b\n".repeat(20_000));
        let document = Document::parse(&table, &mut Problems::default());
        assert!(render(&table, &document, "x").is_none_or(|page| page.len() <= MAX_HTML_BYTES));
    }

    #[test]
    fn a_page_out_of_bounds_is_not_made() {
        let text = "a & < > \"\n".repeat(1_500_000);
        assert_eq!(render(&text, &Document::default(), "x"), None);
    }
}
