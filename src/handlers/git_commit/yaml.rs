//! YAML 1.2 files, of one or more documents. Duplicate keys are errors; what aliases may expand to is bounded.

use serde_json::Value;
use serde_saphyr::options::NonFiniteFloatPolicy;

use super::problems::Problems;

/// Nesting of sequences and mappings.
const MAX_DEPTH: usize = 64;
/// Scalar text of a file, aliases expanded.
const MAX_SCALAR_BYTES: usize = 16 * 1024 * 1024;
/// Nodes of a file, aliases expanded.
const MAX_NODES: usize = 500_000;

/// The documents (none of an empty file), or the first error with its position. `first_line` is the number of the text's
/// first line in its file.
pub(super) fn parse(text: &str, first_line: u64, problems: &mut Problems) -> Option<Vec<Value>> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_total_scalar_bytes: MAX_SCALAR_BYTES,
            max_nodes: MAX_NODES,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_NODES },
        // .inf and .nan are YAML; JSON Schema sees null.
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
    };
    match serde_saphyr::from_multiple_with_options::<Value>(text, options) {
        Ok(documents) => Some(documents),
        Err(error) => {
            let error = error.without_snippet();
            match error.location() {
                Some(at) => problems.add_at(first_line - 1 + at.line(), at.column(), message(error)),
                None => problems.add(first_line, message(error)),
            }
            None
        }
    }
}

/// The error without its position, which the caller gives.
fn message(error: &serde_saphyr::Error) -> String {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or(&text);
    // Advice for who calls the library, not for who wrote the file.
    text.split(", set ").next().unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&[&str], &str>) {
        let mut problems = Problems::default();
        let documents = parse(text, 1, &mut problems);
        let messages = problems.into_messages().join("; ");
        match (documents, expected) {
            (Some(documents), Ok(expected)) => {
                assert_eq!(documents.iter().map(Value::to_string).collect::<Vec<_>>(), expected, "{text:?}");
            }
            (None, Err(part)) => assert!(messages.contains(part), "{text:?}: {messages}"),
            (documents, expected) => panic!("{text:?}: {documents:?} {messages:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn documents_come_back() {
        check("a: 1\nb: [x, true, null]\n", Ok(&[r#"{"a":1,"b":["x",true,null]}"#]));
        check("a: 1\n---\nb: 2\n", Ok(&[r#"{"a":1}"#, r#"{"b":2}"#]));
        check("", Ok(&[]));
        check("base: &b {x: 1}\nother:\n  <<: *b\n  y: 2\n", Ok(&[r#"{"base":{"x":1},"other":{"x":1,"y":2}}"#]));
        check("1: one\n", Ok(&[r#"{"1":"one"}"#]));
        check("limit: .inf\n", Ok(&[r#"{"limit":null}"#]));
        check("on: push\nwhen: 2026-01-01\n", Ok(&[r#"{"on":"push","when":"2026-01-01"}"#]));
    }

    #[test]
    fn errors_name_line_and_column() {
        check("a: 1\na: 2\n", Err("line 2: column 1: "));
        check("a: [1, 2\nb: 3\n", Err("line 2: "));
        check("a:\n\tb: 1\n", Err("line 2: "));
        check("a: *nowhere\n", Err("line 1: "));
        check("ok: 1\n---\nx: 1\nx: 2\n", Err("line 4: "));
    }

    #[test]
    fn a_position_counts_from_the_file() {
        let mut problems = Problems::default();
        assert_eq!(parse("a: 1\na: 2\n", 11, &mut problems), None);
        assert!(problems.into_messages()[0].starts_with("line 12: column 1: "));
    }

    #[test]
    fn bombs_are_refused() {
        let mut laughs = String::from("a: &a [x,x,x,x,x,x,x,x,x]\n");
        for (name, previous) in ('b'..='i').zip('a'..) {
            laughs.push_str(&format!("{name}: &{name} [{}]\n", vec![format!("*{previous}"); 9].join(",")));
        }
        check(&laughs, Err(""));
        let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), "*a,".repeat(1_000));
        check(&long, Err(""));
        check(&"[".repeat(100_000), Err(""));
        check(&"- ".repeat(100_000), Err(""));
        check(&"{a: ".repeat(100_000), Err(""));
    }

    #[test]
    fn junk_is_an_error_not_a_crash() {
        for text in ["\u{0}", "%", "---\n...\n---", "&a *a", "!!binary x", "? [a]\n: b", "\u{feff}a: 1", "<<: 1"] {
            let mut problems = Problems::default();
            assert_ne!(parse(text, 1, &mut problems).is_none(), problems.is_empty(), "{text:?}");
        }
    }
}
