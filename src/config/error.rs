//! What can be wrong with a configuration, said so that a person can put it right.

use std::fmt;
use std::path::PathBuf;

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("configuration file {} does not exist (named by {named_by})", path.display())]
    Missing { path: PathBuf, named_by: &'static str },
    #[error("configuration file {} cannot be read", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("configuration file {} is not YAML: {message}", path.display())]
    Syntax { path: PathBuf, message: String },
    #[error("{}", list(.0))]
    Invalid(Vec<Problem>),
}

/// One wrong key or value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, or the environment variable, that says so.
    pub origin: String,
    /// Path of the key, e.g. `kafka.commit.interval`.
    pub key: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.origin, self.key, self.message)
    }
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// What a key that is not known was probably meant to be: the nearest of its `siblings`, the one that begins with it
/// (`secret_file` for `secret`), or the key of that name in another section.
pub(super) fn suggestion<'a>(key: &str, siblings: &'a [String], all_paths: &'a [String]) -> Option<&'a str> {
    let nearest = siblings.iter().map(|known| (distance(key, known), known)).min();
    let tolerance = (key.chars().count() / 3).clamp(1, 3);
    if let Some((_, known)) = nearest.filter(|(distance, _)| *distance <= tolerance) {
        return Some(known);
    }
    let longer = |known: &&String| known.strip_prefix(key).is_some_and(|rest| rest.starts_with('_'));
    if let Some(known) = siblings.iter().find(longer) {
        return Some(known);
    }
    // An element's key is of no use elsewhere.
    let mut paths = all_paths.iter().filter(|path| !path.contains('['));
    paths.find(|path| path.rsplit('.').next() == Some(key)).map(String::as_str)
}

/// Edit distance (insert, delete, replace, swap of neighbours).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_the_nearest_sibling_then_the_same_name_elsewhere() {
        let siblings = ["group_id".to_owned(), "slot".to_owned()];
        let all = ["kafka.group_id".to_owned(), "http.listen".to_owned()];
        assert_eq!(suggestion("gruop_id", &siblings, &all), Some("group_id"));
        assert_eq!(suggestion("groupid", &siblings, &all), Some("group_id"));
        assert_eq!(suggestion("listen", &siblings, &all), Some("http.listen"));
        assert_eq!(suggestion("colour", &siblings, &all), None);
    }
}
