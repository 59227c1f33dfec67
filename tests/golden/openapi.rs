//! The API's document, which clients are generated from: a change of it is a change of theirs.

use std::path::Path;
use std::process::Command;

use expect_test::expect_file;

#[test]
fn the_document_changes_only_on_purpose() {
    let directory = tempfile::tempdir().unwrap();
    let mut coafi = Command::new(env!("CARGO_BIN_EXE_coafi"));
    let written = coafi.args(["api", "openapi"]).current_dir(directory.path()).env_clear().output().unwrap();
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/openapi.json");
    expect_file![golden].assert_eq(&String::from_utf8(written.stdout).unwrap());
}
