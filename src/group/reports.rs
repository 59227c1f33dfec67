//! The replicas' reports, as they are in the topic.

use crate::engine::Class;
use crate::schema::Codec;
use crate::schema::payloads::ReplicaStatus;

/// Decodes reports. What cannot be decoded is left out: it is of a program that knows better. While the schema registry is
/// away, which may be what somebody wants to know, they are read by the schema that this program was built with.
pub async fn decode(codec: &Codec, values: &[Vec<u8>]) -> Vec<ReplicaStatus> {
    let mut reports = Vec::new();
    let mut registry_is_away = false;
    for value in values {
        let decoded = if registry_is_away { None } else { Some(codec.decode_avro::<ReplicaStatus>(value).await) };
        match decoded {
            Some(Ok(report)) => reports.push(report),
            Some(Err(failure)) if !matches!(failure.class, Class::Systemic(_)) => {}
            Some(Err(_)) | None => {
                registry_is_away = true;
                reports.extend(Codec::decode_as_built_in(value).ok());
            }
        }
    }
    reports
}
