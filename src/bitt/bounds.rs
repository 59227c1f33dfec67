//! Bounds of audit records. A ledger entry is at most 65,535 bytes, and an event's attributes can be of any length: what is
//! too long is cut, and what it was is said by its size and SHA-256.

use std::borrow::Cow;
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use crate::schema::payloads::Outcome;

/// Of one outcome's Avro encoding; room is left for the ledger's own envelope.
pub const MAX_ENTRY_BYTES: usize = 60_000;
/// Of one receipt's Avro encoding.
pub const MAX_RECEIPT_BYTES: usize = 32 * 1024;
/// Of one attribute of an event (id, source, type, …) in an audit record.
pub const MAX_ATTRIBUTE_BYTES: usize = 512;
/// Of all UTidS in one outcome, each counted with [`LENGTH_BYTES`]; the first ones kept.
const MAX_UTIDS_BYTES: usize = 16 * 1024;
/// Steps in one outcome, the last ones kept.
const MAX_STEPS: usize = 128;
/// Of an error's text.
const MAX_ERROR_BYTES: usize = 4_096;
/// What a step's name, time and lengths take at most beside its detail.
const STEP_OVERHEAD: usize = 96;
/// What everything else in an outcome takes at most.
const FIXED_BYTES: usize = 12_000;
/// What stands in the place of a text that is left out takes at most.
const OMITTED_BYTES: usize = 120;
/// A text's length in Avro takes at most, below 2^20 bytes.
const LENGTH_BYTES: usize = 3;
const _: () = assert!(
    FIXED_BYTES + MAX_UTIDS_BYTES + MAX_STEPS * (STEP_OVERHEAD + OMITTED_BYTES) + OMITTED_BYTES <= MAX_ENTRY_BYTES,
    "what is kept in any case fits"
);

/// The text, or its beginning with a hash of the whole in place of the rest: equal texts stay equal, others different.
pub(super) fn attribute(text: &str) -> Cow<'_, str> {
    if text.len() <= MAX_ATTRIBUTE_BYTES {
        return Cow::Borrowed(text);
    }
    let hash = digest(text);
    let head = &text[..text.floor_char_boundary(MAX_ATTRIBUTE_BYTES - hash.len() - 1)];
    Cow::Owned(format!("{head}#{hash}"))
}

/// Makes an outcome fit [`MAX_ENTRY_BYTES`].
pub(super) fn bound(outcome: &mut Outcome<'_>) {
    let Outcome { event_id, event_type, source, correlation_id, causation_id, utids, error, steps, result, .. } =
        outcome;
    for text in [event_id, event_type, source, correlation_id, causation_id].into_iter().flatten() {
        shorten(text);
    }
    utids.iter_mut().for_each(shorten);
    let mut utids_bytes = 0;
    utids.retain(|text| {
        utids_bytes += text.len() + LENGTH_BYTES;
        utids_bytes <= MAX_UTIDS_BYTES
    });
    if let Some(error) = error
        && error.len() > MAX_ERROR_BYTES
    {
        let cut = error.floor_char_boundary(MAX_ERROR_BYTES);
        error.to_mut().truncate(cut);
    }
    if steps.len() > MAX_STEPS {
        steps.drain(..steps.len() - MAX_STEPS);
    }
    let mut room = MAX_ENTRY_BYTES - FIXED_BYTES - utids_bytes.min(MAX_UTIDS_BYTES) - steps.len() * STEP_OVERHEAD;
    for step in steps.iter_mut() {
        shorten(&mut step.kind);
    }
    if steps.iter().map(|step| step.detail.len()).sum::<usize>() + result.as_ref().map_or(0, |text| text.len()) <= room
    {
        return;
    }
    let details = steps.iter_mut().map(|step| &mut step.detail);
    let mut all: Vec<&mut Cow<'_, str>> = details.chain(result.as_mut()).collect();
    // Short ones first: it is the long ones that become digests, each of which leaves the others their room.
    all.sort_by_key(|text| text.len());
    let mut others = all.len();
    for text in all {
        others -= 1;
        if text.len() > OMITTED_BYTES && text.len() + others * OMITTED_BYTES > room {
            *text = Cow::Owned(format!(r#"{{"omitted":{{"bytes":{},"sha256":"{}"}}}}"#, text.len(), digest(text)));
        }
        room -= text.len();
    }
}

pub(super) fn shorten(text: &mut Cow<'_, str>) {
    if text.len() > MAX_ATTRIBUTE_BYTES {
        *text = Cow::Owned(attribute(text).into_owned());
    }
}

fn digest(text: &str) -> String {
    Sha256::digest(text).iter().fold(String::with_capacity(64), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a String takes all");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::payloads::{OutcomeKind, OutcomeStep};

    fn huge(steps: usize, detail: usize) -> Outcome<'static> {
        let long = || Cow::Owned("ä".repeat(400_000));
        Outcome {
            cluster_id: "c".into(),
            topic_id: "t".into(),
            topic: "coafi.git".into(),
            partition: i32::MAX,
            offset: i64::MAX,
            run: "".into(),
            attempt: 1,
            group: "g".into(),
            event_id: Some(long()),
            event_type: Some(long()),
            source: Some(long()),
            utids: (0..1_000).map(|_| long()).collect(),
            correlation_id: Some(long()),
            causation_id: Some(long()),
            route: None,
            route_version: None,
            handlers: vec![],
            outcome: OutcomeKind::Processed,
            error_class: None,
            error_code: None,
            error: Some(long()),
            steps: (0..steps)
                .map(|n| OutcomeStep {
                    kind: n.to_string().into(),
                    at: Some(i64::MAX),
                    detail: "x".repeat(detail).into(),
                })
                .collect(),
            result: Some("r".repeat(1_000_000).into()),
            due_at: None,
            first_seen_offset: None,
            lost_to_offset: None,
            worker_id: "w".into(),
            epoch: 1,
            started_at: None,
            ended_at: 1,
            redrive: 0,
            origin: None,
        }
    }

    #[test]
    fn whatever_comes_fits_an_entry() {
        let schema: serde_avro_fast::Schema = <Outcome<'static> as crate::schema::Payload>::SCHEMA.parse().unwrap();
        for (steps, detail) in [(0, 0), (5, 10), (5, 100_000), (10_000, 10), (10_000, 5_000)] {
            let mut outcome = huge(steps, detail);
            bound(&mut outcome);
            let mut config = serde_avro_fast::ser::SerializerConfig::new(&schema);
            let bytes = serde_avro_fast::to_datum_vec(&outcome, &mut config).unwrap().len();
            assert!(bytes <= MAX_ENTRY_BYTES, "{steps} steps of {detail} bytes: {bytes}");
            assert!(outcome.result.as_ref().is_some_and(|result| result.contains(r#""bytes":1000000"#)));
            if steps == 10_000 {
                assert_eq!(outcome.steps.last().unwrap().kind, "9999");
            }
        }
    }

    #[test]
    fn what_is_short_stays_as_it_is() {
        let mut outcome = Outcome { utids: vec!["u".into()], event_id: Some("1".into()), ..huge(3, 10) };
        outcome.result = Some("{}".into());
        bound(&mut outcome);
        assert_eq!((outcome.event_id.as_deref(), outcome.utids.len()), (Some("1"), 1));
        assert!(outcome.steps.iter().all(|step| step.detail == "xxxxxxxxxx"));
    }

    #[test]
    fn long_attributes_stay_different() {
        let (a, b) = ("a".repeat(1_000), format!("{}b", "a".repeat(999)));
        assert_ne!(attribute(&a), attribute(&b));
        assert_eq!(attribute(&a), attribute(&a.clone()));
        assert!(attribute(&a).len() <= MAX_ATTRIBUTE_BYTES);
    }
}
