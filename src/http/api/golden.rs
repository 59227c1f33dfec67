//! Records that the API writes, as text: what other versions and other software read of them.

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::event::Outgoing;

/// The time of tests.
pub(super) const NOW_MS: i64 = 1_763_740_800_000;

/// One of the formats that no released version wrote yet; `UPDATE_EXPECT=1` writes it.
pub(super) fn file(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/golden/formats/unreleased/headers", name].iter().collect()
}

/// Topic, key, headers and value.
pub(super) fn dump(record: &Outgoing) -> String {
    let mut text = format!("topic: {}\nkey: {:?}\n", record.topic, record.key);
    for (name, value) in record.headers.iter() {
        let value = String::from_utf8_lossy(value.unwrap_or(b"null"));
        writeln!(text, "{}: {value}", String::from_utf8_lossy(name)).unwrap();
    }
    for line in record.value.as_deref().unwrap_or_default().chunks(32) {
        let hex: Vec<_> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(text, "  {}", hex.join(" ")).unwrap();
    }
    text
}
