//! Topics as trigger sources: what is written to a topic, of this cluster or of somebody else's, becomes events here.
//!
//! A [`TailSource`] reads one topic, committed records only, and translates each ([`Translate`]). Events and the positions that
//! cover them are one transaction of a [`super::Publisher`]: each record becomes what it becomes once, whoever is killed
//! when. A position that retention has passed is a loss, which halts the source unless its settings say otherwise.
//!
//! It does not know what records mean.

mod batch;
mod connector;
mod error;
mod position;
mod progress;
mod source;

pub use connector::{SOURCES_MAX, TailConnector};
pub use error::{ConnectorError, TailError};
pub use position::UnreadablePosition;
pub use progress::{Phase, Progress, SourceState};
pub use source::{OnLoss, TailSource, Translate, Translated};

pub use crate::kafka::scan::{Reader, Start};
