//! What a Slack-compatible incoming webhook takes.

use serde_json::{Value, json};

use super::{Message, clipped};
use crate::notify::{TemplateError, Templates, templates};

/// <https://docs.slack.dev/reference/methods/chat.postMessage#truncating>
const TEXT_CHARS_MAX: usize = 40_000;
/// <https://docs.slack.dev/reference/block-kit/blocks/section-block>
const SECTION_CHARS_MAX: usize = 3_000;
/// <https://docs.slack.dev/reference/block-kit/blocks>
const BLOCKS_MAX: usize = 50;

/// `text` is for notifications and for servers that know no blocks.
///
/// # Errors
/// A layout that cannot be filled.
pub(in crate::notify) fn slack(templates: &Templates, message: &Message<'_>) -> Result<Value, TemplateError> {
    let text = clipped(&templates.fill(templates::SLACK, &message.context())?, TEXT_CHARS_MAX);
    let section = |text: String| json!({"type": "section", "text": {"type": "mrkdwn", "text": text}});
    let blocks: Vec<Value> = sections(&text).into_iter().take(BLOCKS_MAX).map(section).collect();
    Ok(json!({"text": text, "blocks": blocks}))
}

/// Cut where lines end, where they do, and never within `&lt;`.
fn sections(text: &str) -> Vec<String> {
    let (mut sections, mut section, mut chars) = (Vec::new(), String::new(), 0);
    for piece in text.split_inclusive(['\n', ' ']).flat_map(pieces) {
        let length = piece.chars().count();
        if chars + length > SECTION_CHARS_MAX {
            sections.push(std::mem::take(&mut section));
            chars = 0;
        }
        section.push_str(piece);
        chars += length;
    }
    sections.push(section);
    // Slack takes no empty one.
    sections.retain(|section| !section.trim().is_empty());
    sections
}

/// Parts of a word that is longer than a section.
fn pieces(mut word: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    while word.chars().count() > SECTION_CHARS_MAX {
        let end = word.char_indices().nth(SECTION_CHARS_MAX).map_or(word.len(), |(at, _)| at);
        // An escaped character has at most 5.
        let end = word[..end].rfind('&').filter(|at| *at > 0 && end - at < 5).unwrap_or(end);
        let (piece, rest) = word.split_at(end);
        pieces.push(piece);
        word = rest;
    }
    pieces.push(word);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_cut_between_words_and_lose_nothing() {
        let words = "word ".repeat(1_000);
        let cut = sections(&words);
        assert_eq!(cut.concat(), words);
        assert!(cut.iter().all(|section| section.chars().count() <= SECTION_CHARS_MAX && section.ends_with(' ')));
        let escaped = format!("{}{}", "x".repeat(SECTION_CHARS_MAX - 2), "&lt;".repeat(SECTION_CHARS_MAX));
        let cut = sections(&escaped);
        assert_eq!(cut.concat(), escaped);
        assert!(cut[0].ends_with('x') && cut[1..].iter().all(|section| section.starts_with("&lt;")), "{}", cut.len());
        assert!(sections(" \n").is_empty());
    }
}
