//! Where a deployment's schedules publish, and under which names.

use std::sync::Arc;

use crate::connectors::{PublisherSettings, SourceId};
use crate::schedule::Name;
use crate::schema::Codec;

/// The topic of fires.
pub const SCHEDULE_TOPIC: &str = "coafi.schedule";

/// The topic that says what became of every due time.
pub const LEDGER_TOPIC: &str = "coafi.schedule.ledger";

/// The connector's name in source ids.
const CONNECTOR: &str = "schedule";

/// What everybody who publishes fires has to know.
#[derive(Clone, Debug)]
pub struct ScheduleSettings {
    pub publisher: PublisherSettings,
    pub codec: Codec,
    pub topic: Arc<str>,
    pub ledger: Arc<str>,
    /// Sets the schedules of one cluster's deployments apart: each has a leader of its own.
    pub deployment: String,
    /// Who publishes: the connector's process, or a person.
    pub instance: String,
}

impl ScheduleSettings {
    #[must_use]
    pub fn new(publisher: PublisherSettings, codec: Codec, deployment: &str, instance: &str) -> Self {
        let (topic, ledger) = (SCHEDULE_TOPIC.into(), LEDGER_TOPIC.into());
        Self { publisher, codec, topic, ledger, deployment: deployment.to_owned(), instance: instance.to_owned() }
    }

    /// What the leader owns: the positions of all schedules.
    #[must_use]
    pub fn source(&self) -> SourceId {
        SourceId::new(CONNECTOR, &self.deployment)
    }

    /// What somebody owns who fires by hand: it excludes others who do, and not the leader.
    #[must_use]
    pub fn by_hand(&self, name: &Name) -> SourceId {
        SourceId::new(CONNECTOR, &format!("{}/by-hand/{name}", self.deployment))
    }

    /// The group that finds the leader.
    #[must_use]
    pub fn group(&self) -> String {
        format!("coafi.connect.{CONNECTOR}.{}", self.deployment)
    }
}
