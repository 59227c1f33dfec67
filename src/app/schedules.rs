//! From the configuration's schedules to the connector's.

use std::sync::Arc;

use super::{Backing, Places};
use crate::config::{Settings, host_name};
use crate::connectors::schedule::{Desk, ScheduleConnector, ScheduleSettings};
use crate::connectors::{Delivery, LagBased, PublisherSettings, Sharing};
use crate::schema::Codec;

/// The connector over the configured schedules.
#[must_use]
pub fn schedule_connector(settings: &Settings, places: &Places, codec: Codec) -> ScheduleConnector {
    let instance = format!("{} pid {}", host_name(), std::process::id());
    ScheduleConnector::new(settings.schedules.clone(), schedule_settings(settings, places, codec, &instance))
}

/// The connector of `coafi dev`: alone, and no faster than `group` handles what it fires.
///
/// # Errors
/// The client's configuration is wrong.
pub(super) fn embedded(
    settings: &Settings,
    places: &Places,
    backing: &Backing,
    group: &str,
) -> anyhow::Result<ScheduleConnector> {
    let mut connector = schedule_connector(settings, places, backing.services.codec.clone());
    connector.settings.publisher.delivery = Delivery::Idempotent;
    connector.sharing = Sharing::Alone;
    connector.admission = Arc::new(LagBased::new(&places.client_config(), group, &connector.settings.topic)?);
    Ok(connector)
}

/// Where people work on the schedules of this deployment. `by` is who.
#[must_use]
pub fn schedule_desk(settings: &Settings, places: &Places, codec: Codec, by: &str) -> Desk {
    Desk::new(schedule_settings(settings, places, codec, by), places.reader())
}

/// Where this deployment's schedules publish. Deployments of one cluster differ by their consumer group.
#[must_use]
pub fn schedule_settings(settings: &Settings, places: &Places, codec: Codec, by: &str) -> ScheduleSettings {
    let publisher = PublisherSettings::new(places.client_config(), codec.clone());
    ScheduleSettings::new(publisher, codec, &settings.kafka.group_id, by)
}
