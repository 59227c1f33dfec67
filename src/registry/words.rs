//! Words by which entries are found: one rule for both databases, for what is written and for what is asked.
//!
//! A text is brought into one form (NFKC, then upper and lower case of each character, so that `ß` is `ss` and both sigmas are
//! one) and cut into words by UAX #29; what has neither letter nor digit is none. Of an entry it is the texts of its data that
//! count, not the names of their members.

use std::collections::BTreeSet;

use serde_json::Value;
use unicode_normalization::UnicodeNormalization as _;
use unicode_segmentation::UnicodeSegmentation as _;

/// Different words of one entry that it is found by: the first ones.
pub const WORDS_MAX: usize = 500;
/// Text of one entry that is looked at: words are found while a transaction waits for them.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;
/// Of a word; a longer one counts as its beginning.
const WORD_BYTES_MAX: usize = 64;
/// Of a query.
pub const ASKED_MAX: usize = 16;

/// The words of an entry's data, sorted.
#[must_use]
pub fn of(data: &Value) -> BTreeSet<String> {
    let (mut found, mut left) = (BTreeSet::new(), TEXT_BYTES_MAX);
    collect(data, &mut found, &mut left);
    found
}

/// The words of a text, sorted: an entry that has all of them is found.
#[must_use]
pub fn asked(text: &str) -> BTreeSet<String> {
    words(text).take(ASKED_MAX).collect()
}

/// `left`: bytes of text that are still looked at.
fn collect(data: &Value, found: &mut BTreeSet<String>, left: &mut usize) {
    match data {
        Value::String(text) => {
            let text = &text[..text.floor_char_boundary(*left)];
            *left -= text.len();
            for word in words(text) {
                if found.len() >= WORDS_MAX {
                    *left = 0;
                    return;
                }
                found.insert(word);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, found, left)),
        Value::Object(members) => members.values().for_each(|value| collect(value, found, left)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn words(text: &str) -> impl Iterator<Item = String> {
    let folded: String = text.nfkc().flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfkc().collect();
    let words: Vec<String> = folded.unicode_words().take(WORDS_MAX).map(shortened).collect();
    words.into_iter()
}

fn shortened(word: &str) -> String {
    word[..word.floor_char_boundary(WORD_BYTES_MAX)].to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_word_is_found_however_it_is_written() {
        for (written, asked_for, found) in [
            ("Wing-7 approved", "APPROVED wing", true),
            ("Straße", "STRASSE", true),
            ("ΟΔΟΣ", "οδος", true),
            ("e\u{301}tage", "Étage", true),
            ("ﬁle", "file", true),
            ("\u{ff17}", "7", true),
            ("日本語", "日", true),
            ("naïve\u{0}x", "naïve x", true),
            ("approved", "approve", false),
            ("a", "a b", false),
        ] {
            let (words, asked) = (of(&json!([written])), asked(asked_for));
            assert_eq!(
                asked.iter().all(|word| words.contains(word)),
                found,
                "{written:?} {asked_for:?}: {words:?} {asked:?}"
            );
        }
    }

    #[test]
    fn texts_count_wherever_they_are_and_nothing_else_does() {
        let data = json!({"member": {"deep": ["Alpha", {"x": "beta"}]}, "n": 7, "yes": true, "none": null});
        assert_eq!(of(&data), ["alpha".to_owned(), "beta".to_owned()].into());
    }

    #[test]
    fn what_one_entry_has_is_bounded() {
        let many: Vec<String> = (0..WORDS_MAX + 10).map(|n| format!("w{n}")).collect();
        assert_eq!(of(&json!(many.join(" "))).len(), WORDS_MAX);
        assert_eq!(of(&json!(many)).len(), WORDS_MAX);
        let long = "ü".repeat(1_000);
        assert_eq!(of(&json!(long)).first().unwrap().len(), WORD_BYTES_MAX);
        assert_eq!(asked(&long), of(&json!(long)));
        assert!(asked(&many.join(" ")).len() <= ASKED_MAX);
        let filled = json!(["-".repeat(TEXT_BYTES_MAX - 4), "end too late"]);
        assert_eq!(of(&filled), ["end".to_owned()].into());
    }
}
