//! Signed envelopes go both ways: ours are read by a JWT library that is not ours, and what that one signs is taken.

use std::process::Command;

use serde_json::{Value, json};

use crate::tools::{printed, python};
use crate::world::coafi;

/// `coafi` in this directory, which has its configuration. It needs no servers.
fn run(directory: &std::path::Path, args: &[&str]) -> String {
    let stack = crate::stack::Stack::shared();
    let mut command: Command = coafi(&stack, directory);
    command.args(args);
    printed(command)
}

#[test]
fn envelopes_are_read_and_made_by_tools_of_others() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name).display().to_string();
    let (private, public) = (file("aero.pem"), file("public.pem"));
    let made: Value = serde_json::from_str(&run(
        directory.path(),
        &["federated", "keygen", "aero-1", "--out", &private, "--output", "json"],
    ))
    .unwrap();
    std::fs::write(&public, made["pem"].as_str().unwrap()).unwrap();
    let yaml = format!("federated: {{domains: [{{name: aero, keys: [{{kid: aero-1, public_key_file: {public}}}]}}]}}");
    std::fs::write(directory.path().join("coafi.yaml"), yaml).unwrap();

    let data = json!({"system": "telemetry", "version": "2.1.0"});
    let text = data.to_string();
    let arguments = [
        "federated",
        "sign",
        "--key",
        &private,
        "--kid",
        "aero-1",
        "--domain",
        "aero",
        "--id",
        "m-1",
        "--type",
        "SystemUpdateNotification",
        "--data",
        &text,
    ];
    let ours = run(directory.path(), &arguments);
    let read: Value =
        serde_json::from_str(&printed(python("envelopes.py", &["verify", &public, ours.trim()]))).unwrap();
    assert_eq!(read["header"], json!({"alg": "EdDSA", "typ": "JWT", "kid": "aero-1"}));
    let claims = &read["claims"];
    assert_eq!((&claims["iss"], &claims["aud"], &claims["jti"]), (&json!("aero"), &json!("coafi"), &json!("m-1")));
    assert_eq!((&claims["event"]["id"], &claims["event"]["data"]), (&json!("m-1"), &data));

    // The same claims, signed there.
    let theirs = printed(python("envelopes.py", &["sign", &private, "aero-1", &claims.to_string()]));
    let envelope = file("theirs.jwt");
    std::fs::write(&envelope, &theirs).unwrap();
    let taken = run(directory.path(), &["federated", "verify", "aero", &envelope, "--output", "json"]);
    let taken: Value = serde_json::from_str(&taken).unwrap();
    assert_eq!((&taken["messageId"], &taken["payload"]), (&json!("m-1"), &json!(text)));
}
