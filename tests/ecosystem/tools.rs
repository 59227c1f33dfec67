//! The tools themselves: where `scripts/setup ecosystem` has put them, and how they are called.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::process::{Ended, Process};
use crate::world::repository;

/// The command that brings what is missing; `make test` runs it first.
const SETUP: &str = "scripts/setup ecosystem";

/// Where the classes of the console tools are.
const TOOLS: &str = "org.apache.kafka.tools";

/// What a program printed.
pub(crate) fn printed(command: Command) -> String {
    let what = format!("{command:?}");
    let ended = Process::start(command).ended();
    assert_eq!(ended.code(), Some(0), "{what}: {}{}", ended.stdout, ended.stderr);
    ended.stdout
}

/// A JSON object per line.
pub(crate) fn objects(printed: &str) -> Vec<Value> {
    printed.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

pub(crate) fn kcat(args: &[&str]) -> Command {
    let mut kcat = Command::new("kcat");
    kcat.args(args);
    assert!(Command::new("kcat").arg("-V").output().is_ok(), "kcat is not here: {SETUP}");
    kcat
}

/// A reader in Python, of those beside this file.
pub(crate) fn python(reader: &str, args: &[&str]) -> Command {
    let mut python = interpreter();
    python.arg(readers().join(reader)).args(args);
    python
}

/// Python with what `requirements.txt` names.
pub(crate) fn interpreter() -> Command {
    Command::new(cached("python", "tests/ecosystem/requirements.txt").join("bin/python"))
}

/// Schemathesis, in an environment of its own.
pub(crate) fn schemathesis() -> Command {
    let mut run = Command::new(cached("schemathesis", "tests/ecosystem/schemathesis.txt").join("bin/schemathesis"));
    run.env("PYTHONPATH", readers()).env("SCHEMATHESIS_HOOKS", "envelope_bodies");
    run
}

/// The SMTP server beside this file.
pub(crate) fn smtp_server(args: &[&str]) -> Command {
    let mut python = Command::new(cached("smtp", "tests/ecosystem/smtp.txt").join("bin/python"));
    python.arg(readers().join("smtp_server.py")).args(args);
    python
}

/// An S3 store, which believes every signature.
pub(crate) fn s3_server(port: u16) -> Command {
    let mut moto = Command::new(cached("s3", "tests/ecosystem/s3.txt").join("bin/moto_server"));
    moto.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
    moto
}

/// The OpenID provider beside this file.
pub(crate) fn oidc_server() -> Command {
    let modules = cached("oidc", "tests/ecosystem/oidc/package-lock.json").join("node_modules");
    let mut node = Command::new("node");
    node.arg(readers().join("oidc_server.mjs")).arg(modules);
    node
}

/// A reader in Java, a single source file beside this one.
pub(crate) fn java(reader: &str, args: &[&str]) -> Command {
    let mut java = jvm();
    java.arg(readers().join(reader)).args(args);
    java
}

/// One of the console tools that come with Kafka, by its class: its script starts just that.
pub(crate) fn kafka(class: &str, args: &[&str]) -> Ended {
    let mut java = jvm();
    java.arg(format!("{TOOLS}.{class}")).args(args);
    Process::start(java).ended()
}

/// What its script runs.
pub(crate) fn tool_script(class: &str) -> String {
    let java = jvm();
    let options: Vec<_> = java.get_args().map(|arg| format!("'{}'", arg.display())).collect();
    format!("exec java {} {TOOLS}.{class} \"$@\"", options.join(" "))
}

fn jvm() -> Command {
    let jars = cached("jars", "tests/ecosystem/pom.xml").join("*");
    let mut java = Command::new("java");
    // They live for seconds: what the second compiler would gain, it costs.
    java.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m", "-cp"]).arg(jars);
    java
}

fn readers() -> PathBuf {
    repository().join("tests/ecosystem/readers")
}

/// The example in Python, with what its own `requirements.txt` names.
pub(crate) fn python_handler() -> Command {
    let environment = cached("python-handler", "examples/python-handler/requirements.txt");
    let mut python = Command::new(environment.join("bin/python"));
    python.arg(repository().join("examples/python-handler/handler.py"));
    python
}

/// The example in TypeScript, built as its README says, in this directory.
pub(crate) fn typescript_handler(directory: &Path) -> Command {
    let modules = cached("typescript-handler", "examples/typescript-handler/package-lock.json").join("node_modules");
    for file in ["handler.ts", "package.json", "tsconfig.json"] {
        std::fs::copy(repository().join("examples/typescript-handler").join(file), directory.join(file)).unwrap();
    }
    std::os::unix::fs::symlink(&modules, directory.join("node_modules")).unwrap();
    let mut npm = Command::new("npm");
    npm.args(["run", "build"]).current_dir(directory);
    printed(npm);
    // As `npm start` does: npm itself would outlive a test that is killed.
    let mut node = Command::new("node");
    node.arg("dist/handler.js").current_dir(directory);
    node
}

/// What the set-up made of `file`, if it is still the same file.
fn cached(name: &str, file: &str) -> PathBuf {
    let absolute = |variable: &str| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    let made = cache.expect("HOME is set").join("coafi/ecosystem").join(name);
    let content = |path: &Path| std::fs::read(path).ok();
    let is_current = content(&made.join("made-from")) == content(&repository().join(file));
    assert!(is_current, "{} is not there, or not what {file} says now: {SETUP}", made.display());
    made
}
