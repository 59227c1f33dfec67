//! Results on stdout, remarks on stderr.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use indicatif::MultiProgress;
use serde::Serialize;

use super::{Answer, Bar, Exit, Failure};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs: one JSON document per line.
    Json,
}

/// Where a command writes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Output {
    format: Format,
    quiet: bool,
    bars: MultiProgress,
}

impl Output {
    #[must_use]
    pub fn new(format: Format, quiet: bool) -> Self {
        Self { format, quiet, bars: MultiProgress::new() }
    }

    #[must_use]
    pub const fn format(&self) -> Format {
        self.format
    }

    /// Progress is shown: stderr is a terminal and nobody asked for silence.
    #[must_use]
    pub fn shows_progress(&self) -> bool {
        !self.quiet && io::stderr().is_terminal()
    }

    /// Writes the result: `value` as one line of JSON, or the table that `table` makes of it.
    ///
    /// # Errors
    /// Stdout is closed or full.
    pub fn show<T: Serialize + ?Sized>(&self, value: &T, table: impl FnOnce(&T) -> String) -> io::Result<()> {
        match self.format {
            Format::Json => self.line(&serde_json::to_string(value)?),
            Format::Table => self.line(&table(value)),
        }
    }

    /// Writes an answer; its yes or no is the exit code.
    ///
    /// # Errors
    /// Stdout is closed or full.
    pub(super) fn answer(&self, answer: &Answer) -> Result<Exit, Failure> {
        self.show(&answer.json, |_| answer.text.clone())?;
        Ok(if answer.yes { Exit::Ok } else { Exit::No })
    }

    /// Writes a line of the result to stdout, whatever the format.
    ///
    /// # Errors
    /// Stdout is closed or full.
    pub fn line(&self, text: &str) -> io::Result<()> {
        self.bars.suspend(|| {
            let mut stdout = io::stdout().lock();
            stdout.write_all(text.as_bytes())?;
            stdout.write_all(b"\n")?;
            stdout.flush()
        })
    }

    /// Writes a remark for people to stderr; nothing with `--quiet`.
    pub fn remark(&self, text: &str) {
        if !self.quiet {
            // A remark that nobody can read is no reason to stop.
            let _ = self.bars.suspend(|| writeln!(io::stderr(), "{text}"));
        }
    }

    /// A progress bar over `total` steps, or a spinner where the total is unknown.
    #[must_use]
    pub fn bar(&self, label: &str, total: Option<u64>) -> Bar {
        Bar::new(self, label, total)
    }

    /// The terminal's bars, above which log lines go.
    #[must_use]
    pub fn bars(&self) -> MultiProgress {
        self.bars.clone()
    }
}

/// Characters of a table's cell; what is longer is cut, and whole in the JSON.
const CELL_CHARS_MAX: usize = 1_000;

/// Text as a table or a line for people may have it: what is in records may be written by anybody, and moves no cursor and hides
/// nothing on a terminal.
#[must_use]
pub(super) fn cell(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for (index, c) in text.chars().enumerate() {
        if index == CELL_CHARS_MAX {
            safe.push('…');
            break;
        }
        match c {
            c if c.is_control() || is_bidi_control(c) => safe.extend(c.escape_default()),
            c => safe.push(c),
        }
    }
    safe
}

/// Changes the order in which characters around it are shown.
const fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Rows under a header. Columns from `numbers_from` on are numbers and flush right.
#[must_use]
pub(crate) fn table<R>(header: &[&str], numbers_from: usize, rows: impl IntoIterator<Item = R>) -> String
where
    R: IntoIterator<Item = String>,
{
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_header(header);
    for row in rows {
        table.add_row(row.into_iter().map(|text| Cell::new(cell(&text))));
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if index >= numbers_from {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines: Vec<_> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_moves_no_cursor_and_has_an_end() {
        for (text, expected) in [
            ("plain ä", "plain ä"),
            ("two\nlines\t", "two\\nlines\\t"),
            ("\u{1b}[2J\u{9b}1m\u{7f}", "\\u{1b}[2J\\u{9b}1m\\u{7f}"),
            ("\u{202e}gpj", "\\u{202e}gpj"),
        ] {
            assert_eq!(cell(text), expected, "{text:?}");
        }
        assert_eq!(cell(&"ä".repeat(CELL_CHARS_MAX)), "ä".repeat(CELL_CHARS_MAX));
        assert_eq!(cell(&"ä".repeat(CELL_CHARS_MAX + 1)), format!("{}…", "ä".repeat(CELL_CHARS_MAX)));
        let shown = table(&["error"], 1, [["a\u{1b}[31m\nb".to_owned()]]);
        assert_eq!(shown, "error\na\\u{1b}[31m\\nb");
    }

    #[test]
    fn numbers_are_flush_right_and_lines_carry_no_trailing_space() {
        let text = table(
            &["topic", "lag"],
            1,
            [["coafi.git".to_owned(), "7".to_owned()], ["x".to_owned(), "1200".to_owned()]],
        );
        assert_eq!(text, "topic       lag\ncoafi.git     7\nx          1200");
    }
}
