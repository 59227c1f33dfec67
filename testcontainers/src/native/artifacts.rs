//! Downloads by Maven, once per user: `${XDG_CACHE_HOME:-$HOME/.cache}/coafi/native/<what>`.
//!
//! A directory appears in the cache only when it is complete (it is filled under another name and renamed), and a file
//! lock keeps two processes from filling it at once.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::run;

/// Kafka, its log binding and its console tools.
const POM: &str = include_str!("../../native/pom.xml");
/// 2.10 copies an artifact without reading its parent's POM, which for the registry is not published.
const DEPENDENCY_PLUGIN: &str = "org.apache.maven.plugins:maven-dependency-plugin:2.10";

/// The directory with Kafka's jars.
pub(super) fn kafka_jars() -> Result<PathBuf> {
    cached("kafka-4.3.0", |directory| {
        maven(directory, "copy-dependencies", &["-DincludeScope=runtime", &output_to(directory)])
    })
}

/// The unpacked registry.
pub(super) fn registry() -> Result<PathBuf> {
    cached("apicurio-3.0.9", |directory| {
        fetch(directory, "copy", "io.apicurio:apicurio-registry-app:3.0.9:tar.gz:all")?;
        let archive = file_in(directory, "gz")?;
        run(Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(directory))?;
        Ok(fs::remove_file(archive)?)
    })
}

/// Postgres binaries, for a machine without.
pub(super) fn postgres() -> Result<PathBuf> {
    let arch = match env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64v8",
        other => bail!("there are no Postgres binaries for {other} on Maven Central: install the package postgresql"),
    };
    cached("postgres-16.4.0", |directory| {
        // A jar is a zip archive. Maven opens it; unzip may not be here.
        fetch(directory, "unpack", &format!("io.zonky.test.postgres:embedded-postgres-binaries-linux-{arch}:16.4.0"))?;
        let archive = file_in(directory, "txz")?;
        run(Command::new("tar").arg("-xJf").arg(&archive).arg("-C").arg(directory))
            .context("unpack Postgres (tar needs xz: install the package xz-utils)")?;
        Ok(fs::remove_file(archive)?)
    })
}

/// The cache's directory `name`, made by `fill` unless it is there.
fn cached(name: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let cache = cache_directory()?;
    let complete = cache.join(name);
    if complete.is_dir() {
        return Ok(complete);
    }
    fs::create_dir_all(&cache).with_context(|| format!("create {}", cache.display()))?;
    let lock = File::create(cache.join(".lock"))?;
    lock.lock().context("lock the cache of downloads")?;
    if !complete.is_dir() {
        eprintln!("downloading {name} to {}", cache.display());
        let partial = cache.join(format!("{name}.partial"));
        if partial.exists() {
            fs::remove_dir_all(&partial)?;
        }
        fs::create_dir(&partial)?;
        fs::write(partial.join("pom.xml"), POM)?;
        fill(&partial).with_context(|| format!("download {name}"))?;
        fs::rename(&partial, &complete)?;
    }
    Ok(complete)
}

fn cache_directory() -> Result<PathBuf> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    Ok(cache.context("neither XDG_CACHE_HOME nor HOME is set")?.join("coafi/native"))
}

/// Downloads one artifact, without what it depends on, and copies or unpacks it (`goal`) into `directory`.
fn fetch(directory: &Path, goal: &str, coordinates: &str) -> Result<()> {
    let artifact = format!("-Dartifact={coordinates}");
    maven(directory, "get", &[&artifact, "-Dtransitive=false"])?;
    maven(directory, goal, &[&artifact, &output_to(directory)])
}

/// Runs a goal of the dependency plugin. The pom.xml in `directory` keeps the plugin's marker files in there too.
fn maven(directory: &Path, goal: &str, arguments: &[&str]) -> Result<()> {
    let goal = format!("{DEPENDENCY_PLUGIN}:{goal}");
    run(Command::new("mvn").args(["--batch-mode", "--quiet", &goal]).args(arguments).current_dir(directory))
        .context("maven downloads the native stack (packages maven and openjdk-17-jre-headless)")?;
    Ok(())
}

fn output_to(directory: &Path) -> String {
    format!("-DoutputDirectory={}", directory.display())
}

/// The file in `directory` with this extension.
fn file_in(directory: &Path, extension: &str) -> Result<PathBuf> {
    let mut files = fs::read_dir(directory)?.flatten().map(|entry| entry.path());
    let found = files.find(|path| path.extension().is_some_and(|have| have == extension));
    found.with_context(|| format!("maven left no .{extension} file in {}", directory.display()))
}
