//! Golden files of records that the API writes: what other versions and other software read of them.

use std::path::PathBuf;

/// The time of tests.
pub(super) const NOW_MS: i64 = 1_763_740_800_000;

/// One of the formats that no released version wrote yet; `UPDATE_EXPECT=1` writes it.
pub(super) fn file(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/golden/formats/unreleased/headers", name].iter().collect()
}
