//! YAML front matter: what is between a first line `---` and the next line `---`.

use serde_json::{Map, Value};

use crate::handlers::git_commit::problems::Problems;
use crate::handlers::git_commit::yaml;

/// A first line `---` with no second within this many bytes is a thematic break.
const MAX_BYTES: usize = 64 * 1024;

/// Front matter as it stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Split<'a> {
    /// Text between the two lines; `None` if there is no front matter.
    pub(super) yaml: Option<&'a str>,
    /// Where the Markdown starts, in bytes.
    pub(super) body: usize,
}

pub(super) fn split(text: &str) -> Split<'_> {
    let none = Split { yaml: None, body: 0 };
    let start = usize::from(text.starts_with('\u{feff}')) * '\u{feff}'.len_utf8();
    let mut lines = text[start..].split_inclusive('\n');
    let Some(opening) = lines.next().filter(|line| line.trim_end() == "---") else { return none };
    let content = start + opening.len();
    let mut at = content;
    for line in lines {
        if line.trim_end() == "---" {
            return Split { yaml: Some(&text[content..at]), body: at + line.len() };
        }
        at += line.len();
        if at - content > MAX_BYTES {
            break;
        }
    }
    none
}

/// The front matter's members. What is no mapping is a problem of the file.
pub(super) fn parse(yaml_text: &str, problems: &mut Problems) -> Option<Map<String, Value>> {
    const FIRST_LINE: u64 = 2;
    let mut documents = yaml::parse(yaml_text, FIRST_LINE, problems)?;
    match documents.pop() {
        None => Some(Map::new()),
        Some(Value::Object(members)) => Some(members),
        Some(_) => {
            problems.add(FIRST_LINE, "front matter must be a mapping of names to values");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, yaml: Option<&str>, body: &str) {
        let found = split(text);
        assert_eq!((found.yaml, &text[found.body..]), (yaml, body), "{text:?}");
    }

    #[test]
    fn front_matter_is_between_two_lines() {
        check("---\ntitle: x\n---\n# H\n", Some("title: x\n"), "# H\n");
        check("---\r\ntitle: x\r\n---\r\nbody", Some("title: x\r\n"), "body");
        check("---\n---\n", Some(""), "");
        check("---\ntitle: x\n---", Some("title: x\n"), "");
        check("\u{feff}---\na: 1\n---\nb", Some("a: 1\n"), "b");
        check("---\nno end\n", None, "---\nno end\n");
        check(" ---\na: 1\n---\n", None, " ---\na: 1\n---\n");
        check("# H\n---\na: 1\n---\n", None, "# H\n---\na: 1\n---\n");
        check("", None, "");
    }

    #[test]
    fn what_is_no_mapping_is_a_problem() {
        let mut problems = Problems::default();
        assert_eq!(parse("just text\n", &mut problems), None);
        assert_eq!(problems.into_messages(), ["line 2: front matter must be a mapping of names to values"]);
    }
}
