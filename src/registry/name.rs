//! Names of entries that belong to a repository.

use percent_encoding::{AsciiSet, CONTROLS, percent_encode};

/// Bytes of an entry's name: Postgres cannot index much more than twice this.
pub const MAX_NAME_BYTES: usize = 1_024;

/// Hexadecimal digits of the hash that ends a shortened name.
const HASH_DIGITS: usize = 32;

/// `%` keeps the encoding unambiguous; `#` separates.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%').add(b'#');

/// `<repository>#<part>#…`, such that different ones have different names: bytes that are not printable ASCII are
/// percent-encoded, and a long name is cut and ends in `~` and a hash of the whole.
#[must_use]
pub fn entry_name(repository: &str, parts: &[&[u8]]) -> String {
    let mut name = percent_encode(repository.as_bytes(), ENCODED).to_string();
    for part in parts {
        name.push('#');
        name.extend(percent_encode(part, ENCODED));
    }
    if name.len() > MAX_NAME_BYTES {
        let hash = format!("{:032x}", xxhash_rust::xxh3::xxh3_128(name.as_bytes()));
        // All ASCII by now, so any position is a character's.
        name.truncate(MAX_NAME_BYTES - HASH_DIGITS - 1);
        name.push('~');
        name.push_str(&hash);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_parts_have_different_names() {
        assert_eq!(entry_name("https://h/r", &[b"main", b"docs/a b.md"]), "https://h/r#main#docs/a b.md");
        assert_eq!(entry_name("/r", &["ü\u{0}.md".as_bytes()]), "/r#%C3%BC%00.md");
        assert_eq!(entry_name("/r", &[b"\xff.md"]), "/r#%FF.md");
        assert_ne!(entry_name("a#b", &[b"c"]), entry_name("a", &[b"b#c"]));
        assert_ne!(entry_name("a", &[b"b#c"]), entry_name("a", &[b"b", b"c"]));
        assert_ne!(entry_name("/r", &[b"%FF"]), entry_name("/r", &[b"\xff"]));
    }

    #[test]
    fn a_long_name_is_cut_and_stays_unique() {
        let (one, other) = (entry_name("/r", &[&[b'x'; 4_096]]), entry_name("/r", &[&[b'x'; 4_095]]));
        assert_eq!((one.len(), other.len()), (MAX_NAME_BYTES, MAX_NAME_BYTES));
        assert_ne!(one, other);
    }
}
