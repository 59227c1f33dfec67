//! How other commands reach a running `coafi dev`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::app::Places;

/// Writes the variables that lead there, for a shell to read, into the run's own directory, which nobody else may read.
pub(super) fn write(directory: &Path, places: &Places) -> anyhow::Result<PathBuf> {
    let file = directory.join("env");
    let registry = places.registry.urls.join(",");
    let text = format!(
        "export COAFI__KAFKA__BOOTSTRAP_SERVERS={}\n\
         export COAFI__SCHEMA_REGISTRY__URL={registry}\n\
         export COAFI__DATABASE__URL='{}'\n",
        places.bootstrap_servers, places.database,
    );
    std::fs::write(&file, text).with_context(|| format!("{} cannot be written", file.display()))?;
    Ok(file)
}
