//! Apicurio Registry, with Confluent's API. Schemas are kept in a file: a registry that forgets them at a restart would
//! turn an outage into unknown schema ids.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::artifacts;

pub(super) fn command(directory: &Path, port: u16) -> Result<Command> {
    let jar = artifacts::registry()?.join("apicurio-registry-app-3.0.9-runner.jar");
    let mut java = Command::new("java");
    // Measured resident: 350 MB. The first compiler tier alone starts faster, and nobody measures the registry.
    java.args(["-Xmx400m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-jar"]).arg(jar);
    java.env("QUARKUS_HTTP_HOST", "127.0.0.1").env("QUARKUS_HTTP_PORT", port.to_string());
    // H2 writes what was committed half a second later, unless told otherwise: a kill -9 would undo it.
    let url = format!("jdbc:h2:file:{};WRITE_DELAY=0", directory.join("data").display());
    java.env("APICURIO_DATASOURCE_URL", url);
    java.current_dir(directory);
    Ok(java)
}
