//! What is wrong with a file: a bounded list of messages with their positions.

/// Errors kept per file; further ones are counted.
pub(super) const MAX_ERRORS: usize = 20;
/// Characters of one error.
pub(super) const MAX_ERROR_CHARS: usize = 240;

/// Collects errors in the order in which they are found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Problems {
    errors: Vec<(u64, String)>,
    omitted: usize,
}

impl Problems {
    /// `line` counts from 1; 0 is the file as a whole.
    pub(super) fn add(&mut self, line: u64, message: impl std::fmt::Display) {
        if self.errors.len() == MAX_ERRORS {
            self.omitted += 1;
            return;
        }
        self.errors.push((line, shorten(&message.to_string(), MAX_ERROR_CHARS)));
    }

    /// Like [`Self::add`] with a column, from 1, in characters.
    pub(super) fn add_at(&mut self, line: u64, column: u64, message: impl std::fmt::Display) {
        self.add(line, format_args!("column {column}: {message}"));
    }

    #[must_use]
    pub(super) fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    /// `line N: message`, in order of lines.
    #[must_use]
    pub(super) fn into_messages(mut self) -> Vec<String> {
        self.errors.sort_by_key(|(line, _)| *line);
        let text = |(line, message): (u64, String)| if line == 0 { message } else { format!("line {line}: {message}") };
        let mut messages: Vec<String> = self.errors.into_iter().map(text).collect();
        if self.omitted > 0 {
            messages.push(format!("and {} more", self.omitted));
        }
        messages
    }
}

/// The first `limit` characters, on one line; control characters (terminals and logs obey them) become spaces.
#[must_use]
pub(super) fn shorten(text: &str, limit: usize) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let mut short: String = text.chars().map(clean).take(limit).collect();
    if text.chars().nth(limit).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_bounded_and_in_order_of_lines() {
        let mut problems = Problems::default();
        problems.add(9, "later");
        problems.add_at(2, 3, "a\n\x1b[31mb");
        assert_eq!(problems.clone().into_messages(), ["line 2: column 3: a  [31mb", "line 9: later"]);
        for _ in 0..MAX_ERRORS {
            problems.add(1, "x".repeat(MAX_ERROR_CHARS + 1));
        }
        let messages = problems.into_messages();
        assert_eq!((messages.len(), messages.last().map(String::as_str)), (MAX_ERRORS + 1, Some("and 2 more")));
        assert!(messages.iter().all(|m| m.chars().count() <= MAX_ERROR_CHARS + "line 1: …".len()));
    }
}
