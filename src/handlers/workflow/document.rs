//! A step that makes a document. It is written before the run's new state is, under a name that follows from run and step: an
//! attempt that is made again after a crash finds it (I9).

use serde_json::{Value, json};

use crate::dispatch::artifact::{Artifact, digest, slug};
use crate::dispatch::{Context, Failure};
use crate::workflow::{Format, Path, Run};

/// Where it is: what [`Artifact`] has.
///
/// # Errors
/// Systemic (`artifacts`): the store does not take it.
pub(super) async fn write(
    context: &Context<'_>,
    run: &Run,
    step: &Path,
    (name, format, text): (&str, Format, String),
) -> Result<Value, Failure> {
    let digits = &digest(&[&context.fence.group, &run.id, &step.to_string()])[..16];
    let (workflow, name) = (slug(run.workflow.as_bytes()), slug(name.as_bytes()));
    let path = format!("generated/{workflow}/{name}.{digits}.{}", format.extension());
    let (written, _) = Artifact::write_once(path, &*context.services.artifacts, text.into()).await?;
    Ok(json!(written))
}
