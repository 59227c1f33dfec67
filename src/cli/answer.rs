//! What a command has to say, before anybody knows how it is to be written.

use comfy_table::{ContentArrangement, Table, presets};

use super::output::cell;

/// A command's result: for programs, for people, and as an exit code.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    /// With `--output json`, on one line.
    pub json: serde_json::Value,
    /// Otherwise.
    pub text: String,
    /// Whether the answer is yes: exit code 0, else 1.
    pub yes: bool,
}

/// Rows under a header, then `last` as a line of its own.
pub(super) fn table<const N: usize>(header: [&str; N], rows: Vec<[String; N]>, last: &str) -> String {
    if rows.is_empty() {
        return last.to_owned();
    }
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_header(header);
    table.add_rows(rows.into_iter().map(|row| row.map(|text| cell(&text))));
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    format!("{}\n{last}", lines.join("\n"))
}
