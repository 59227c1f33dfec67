//! What handlers of jobs are given: the fire of a schedule, with the settings that the schedule's `data` has for them.

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{Context, Failure};
use crate::event::Event;
use crate::schema::payloads::ScheduleFired;

/// A job that is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job<T> {
    pub schedule: String,
    /// When it was due. A job is about the time before; when it is done does not matter.
    pub due: Timestamp,
    pub settings: T,
}

impl<T: DeserializeOwned> Job<T> {
    /// `allowed`: the settings that there are, for whoever wrote others.
    ///
    /// # Errors
    /// As [`crate::schema::Codec::decode`]; permanent (`invalid_job`) if the settings are others than are allowed.
    pub async fn of(event: &Event, context: &Context<'_>, allowed: &str) -> Result<Self, Failure> {
        let fired: ScheduleFired = context.services.codec.decode(event).await?;
        let refused = |error: &dyn std::fmt::Display| refused(&fired.schedule, error, allowed);
        let due = Timestamp::from_millisecond(fired.due_at).map_err(|error| refused(&error))?;
        // A list would be taken for the settings in their order.
        let data: Map<String, Value> = serde_json::from_str(&fired.data).map_err(|error| refused(&error))?;
        let settings = T::deserialize(Value::Object(data)).map_err(|error| refused(&error))?;
        Ok(Self { schedule: fired.schedule, due, settings })
    }
}

/// The failure of a job whose settings are not allowed.
#[must_use]
pub fn refused(schedule: &str, error: &dyn std::fmt::Display, allowed: &str) -> Failure {
    let message = format!("data of schedule {schedule}: {error}; allowed: {allowed}");
    Failure::permanent("invalid_job", message)
}
