//! The target of the configuration's file.

use super::load::load_text;

/// Whatever is in the file, loading it ends, and what is loaded can be shown.
pub(crate) fn text(text: &str) {
    if let Ok(loaded) = load_text(text) {
        assert!(!loaded.entries.is_empty());
    }
}
