//! The offset map: what a committed offset's metadata says about the records above the position (I1).
//!
//! Kafka keeps one string of at most 4,096 bytes beside each committed offset. Ours names the records above the position
//! that are resolved already, how many attempts the unresolved ones have used, and whether the owner is alive and well;
//! a restart or a rebalance therefore redoes nothing. It belongs to one cluster, topic, partition and position: mirroring
//! tools copy metadata to translated offsets, and operators reset offsets, so whatever does not match is ignored.
//!
//! ```text
//! "coafi1:" base64( identity u64 LE · position · claim · transaction · dirty · running · suspects · attempts · form · resolved )
//! ```
//! Every version begins in this way, up to the position, so that any version knows whether a map is its own business. One
//! that is, and of a newer version, must not be taken for foreign: what it names as resolved would be done again (see
//! [`newer_version`]).
//!
//! Numbers are LEB128 varints. `attempts` names for each record its offset, its attempts, and which handlers of its route are
//! done: in the low 16 bits by position in the route's list, in the high 16 bits a fingerprint of that list. Release 0.1.0 wrote
//! 0 for the fingerprint, which is trusted; it looks only at the bits of handlers that the route has, so it reads ours too.
//! `resolved` is, whichever is shorter, alternating run lengths (form 0: unresolved, resolved,
//! unresolved, …, from the position on) or a bitmap (form 1: bit n is offset position + n).

use std::ops::Range;

use super::HandlerList;
use crate::event::{NextOffset, Offset};

/// Kafka's default `offset.metadata.max.bytes`.
pub const MAX_METADATA_BYTES: usize = 4096;

/// Origin and version: metadata that starts otherwise is somebody else's or of another version. A new version is read by one
/// release and written by the next, since replicas of two releases take partitions over from each other.
const PREFIX: &str = "coafi1:";
const ORIGIN: &str = "coafi";
const VERSION: u32 = 1;

/// Raw bytes that fit behind the prefix: base64 makes four characters of three.
const fn raw_bytes(metadata_bytes: usize) -> usize {
    metadata_bytes.saturating_sub(PREFIX.len()) / 4 * 3
}

/// Identity, position, claim, transaction, dirty, running and counts at their longest.
const FIXED_BYTES: usize = 8 + 10 + 10 + 10 + 5 + 10 + 2 + 2 + 1 + 4;

/// Offset delta, attempts and done bits of one record with attempts at their longest in a window of 24,000 offsets.
const ATTEMPTED_BYTES: usize = 3 + 2 + 5;

/// Suspects remembered, at [`ATTEMPTED_BYTES`] each at most.
pub const MAX_SUSPECTS: usize = 8;

/// What the metadata of one partition says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetMap {
    /// Rises with every assignment; see [`super::Assignment::claim`].
    pub claim: i64,
    /// Number of the transaction that committed it: no two commits of one claim have equal metadata, so a driver that reads
    /// it back knows which of two commits with the same offsets has happened.
    pub transaction: u64,
    /// Owners in a row, this one included, that have not ended cleanly.
    pub dirty: u32,
    /// In suspect mode: the record that is about to run.
    pub running: Option<Offset>,
    pub suspects: Vec<Suspect>,
    pub attempts: Vec<Attempted>,
    /// Resolved offsets above the position: half-open, ascending, disjoint, not empty.
    pub resolved: Vec<Range<i64>>,
}

/// A record that was running when an owner died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspect {
    pub offset: Offset,
    pub deaths: u32,
}

/// An unresolved record with committed attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempted {
    pub offset: Offset,
    pub attempts: u32,
    /// Bits of the handlers that are done, by position in their route's list.
    pub done: u16,
    /// [`HandlerList::fingerprint`] of that list; 0 if none is done, or if release 0.1.0 wrote it.
    pub list: u16,
}

impl Attempted {
    /// `done` are handlers of `list`.
    #[must_use]
    pub fn new(offset: Offset, attempts: u32, done: u16, list: HandlerList) -> Self {
        Self { offset, attempts, done, list: if done == 0 { 0 } else { list.fingerprint() } }
    }

    /// The handlers of this list that are done: none if the bits are of another one.
    #[must_use]
    pub fn done_of(&self, list: HandlerList) -> u16 {
        if self.list == 0 || self.list == list.fingerprint() { self.done } else { 0 }
    }
}

/// Records of a partition that may halt although every place of a parked one is taken: their attempts stay in the map too.
pub const MAX_HALTED: usize = 12;

/// Bytes that `max_metadata_bytes` of metadata leave for what is resolved, besides the attempt counts of `max_parked` parked
/// and [`MAX_HALTED`] halted records.
#[must_use]
pub const fn room(max_parked: usize, max_metadata_bytes: usize) -> usize {
    let reserved = FIXED_BYTES + (max_parked + MAX_HALTED + MAX_SUSPECTS) * ATTEMPTED_BYTES;
    raw_bytes(max_metadata_bytes).saturating_sub(reserved)
}

/// Whether a map stays encodable whatever becomes of `records` records within `span` offsets above the position: what is
/// checked before a record is dispatched. `room` as in [`room`].
#[must_use]
pub fn fits(span: u64, records: usize, room: usize) -> bool {
    let room = room as u64;
    // Worst case of runs: every record on its own, a run before and a run after it.
    span.div_ceil(8) <= room || (records as u64 + 1).saturating_mul(2 * varint_len(span)) <= room
}

/// The version of a map that belongs to this identity and position but that a newer release wrote: whoever reads it must
/// not go on.
#[must_use]
pub fn newer_version(text: &str, identity: u64, position: NextOffset) -> Option<u32> {
    let (version, raw) = text.strip_prefix(ORIGIN)?.split_once(':')?;
    let version = version.parse().ok().filter(|version| *version > VERSION)?;
    let raw = base64_decode(raw)?;
    Reader(&raw).belongs_to(identity, position).then_some(version)
}

impl OffsetMap {
    /// The metadata string for `position`, of at most `max_bytes`.
    ///
    /// # Panics
    /// If it does not fit: the engine asks [`fits`] before every dispatch, so that is a bug of ours, and going on would
    /// repeat resolved records.
    #[must_use]
    pub fn encode(&self, identity: u64, position: NextOffset, max_bytes: usize) -> String {
        let mut raw = identity.to_le_bytes().to_vec();
        put(&mut raw, position.0.cast_unsigned());
        put(&mut raw, self.claim.cast_unsigned());
        put(&mut raw, self.transaction);
        put(&mut raw, u64::from(self.dirty));
        let delta = |offset: Offset| (offset.0 - position.0).cast_unsigned();
        put(&mut raw, self.running.map_or(0, |offset| delta(offset) + 1));
        put(&mut raw, self.suspects.len() as u64);
        for suspect in &self.suspects {
            put(&mut raw, delta(suspect.offset));
            put(&mut raw, u64::from(suspect.deaths));
        }
        put(&mut raw, self.attempts.len() as u64);
        for attempted in &self.attempts {
            put(&mut raw, delta(attempted.offset));
            put(&mut raw, u64::from(attempted.attempts));
            put(&mut raw, u64::from(attempted.done) | u64::from(attempted.list) << u16::BITS);
        }
        let runs = self.runs(position);
        let span = self.resolved.last().map_or(0, |last| last.end - position.0).cast_unsigned();
        let bitmap_len = usize::try_from(span.div_ceil(8)).unwrap_or(usize::MAX);
        if runs.len() <= bitmap_len {
            raw.push(0);
            raw.extend(runs);
        } else {
            raw.push(1);
            raw.extend(self.bitmap(position, bitmap_len));
        }
        let text = format!("{PREFIX}{}", base64_encode(&raw));
        assert!(text.len() <= max_bytes, "an offset map of {} bytes was let grow, {max_bytes} are allowed", text.len());
        text
    }

    fn runs(&self, position: NextOffset) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut at = position.0;
        for range in &self.resolved {
            put(&mut bytes, (range.start - at).cast_unsigned());
            put(&mut bytes, (range.end - range.start).cast_unsigned());
            at = range.end;
        }
        bytes
    }

    fn bitmap(&self, position: NextOffset, len: usize) -> Vec<u8> {
        let mut bits = vec![0u8; len];
        for range in &self.resolved {
            for offset in range.clone() {
                let bit = usize::try_from(offset - position.0).expect("resolved ranges lie above the position");
                bits[bit / 8] |= 1 << (bit % 8);
            }
        }
        bits
    }

    /// Reads metadata back. `None`: foreign, of another version, identity or position, or damaged; the position still counts.
    #[must_use]
    pub fn decode(text: &str, identity: u64, position: NextOffset) -> Option<Self> {
        let raw = base64_decode(text.strip_prefix(PREFIX)?)?;
        let mut input = Reader(&raw);
        if !input.belongs_to(identity, position) {
            return None;
        }
        let offset = |delta: u64| i64::try_from(delta).ok().and_then(|delta| position.0.checked_add(delta)).map(Offset);
        let mut map = Self {
            claim: input.number()?.cast_signed(),
            transaction: input.number()?,
            dirty: input.small()?,
            ..Self::default()
        };
        map.running = match input.number()? {
            0 => None,
            delta => Some(offset(delta - 1)?),
        };
        for _ in 0..input.count(MAX_SUSPECTS)? {
            map.suspects.push(Suspect { offset: offset(input.number()?)?, deaths: input.small()? });
        }
        for _ in 0..input.count(raw_bytes(MAX_METADATA_BYTES))? {
            let (delta, attempts, bits) = (input.number()?, input.small()?, input.small()?);
            let half = |bits: u32| u16::try_from(bits & u32::from(u16::MAX)).expect("masked");
            let (done, list) = (half(bits), half(bits >> u16::BITS));
            map.attempts.push(Attempted { offset: offset(delta)?, attempts, done, list });
        }
        map.resolved = match input.bytes(1)? {
            [0] => read_runs(&mut input, position)?,
            [1] => read_bitmap(input.0, position)?,
            _ => return None,
        };
        Some(map)
    }
}

fn read_runs(input: &mut Reader<'_>, position: NextOffset) -> Option<Vec<Range<i64>>> {
    let mut ranges = Vec::new();
    let mut at = position.0;
    while !input.0.is_empty() {
        let start = at.checked_add(i64::try_from(input.number()?).ok()?)?;
        let end = start.checked_add(i64::try_from(input.number()?).ok()?)?;
        if start < end {
            ranges.push(start..end);
        }
        at = end;
    }
    Some(ranges)
}

fn read_bitmap(bits: &[u8], position: NextOffset) -> Option<Vec<Range<i64>>> {
    let mut ranges: Vec<Range<i64>> = Vec::new();
    for (index, byte) in bits.iter().enumerate() {
        for bit in (0..8).filter(|bit| byte & (1 << bit) != 0) {
            let offset =
                position.0.checked_add(i64::try_from(index * 8 + bit).expect("at most 4,096 bytes of bits"))?;
            let end = offset.checked_add(1)?;
            match ranges.last_mut() {
                Some(last) if last.end == offset => last.end = end,
                _ => ranges.push(offset..end),
            }
        }
    }
    Some(ranges)
}

fn put(into: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        into.push(u8::try_from(number & 0x7f).expect("seven bits") | 0x80);
        number >>= 7;
    }
    into.push(u8::try_from(number).expect("seven bits"));
}

const fn varint_len(number: u64) -> u64 {
    (70 - (number | 1).leading_zeros() as u64) / 7
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.bytes(1)?[0];
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// Reads the head that every version has.
    fn belongs_to(&mut self, identity: u64, position: NextOffset) -> bool {
        self.bytes(8).is_some_and(|bytes| bytes == identity.to_le_bytes())
            && self.number().is_some_and(|number| number.cast_signed() == position.0)
    }

    fn small(&mut self) -> Option<u32> {
        u32::try_from(self.number()?).ok()
    }

    fn count(&mut self, max: usize) -> Option<usize> {
        usize::try_from(self.number()?).ok().filter(|count| *count <= max)
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Base64 (RFC 4648) without padding. Here, because the engine imports `std` only.
fn base64_encode(raw: &[u8]) -> String {
    let mut text = String::with_capacity(raw.len().div_ceil(3) * 4);
    for chunk in raw.chunks(3) {
        let group = chunk.iter().fold(0u32, |group, byte| (group << 8) | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for index in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(group >> (18 - 6 * index)) as usize & 63]));
        }
    }
    text
}

fn base64_decode(text: &str) -> Option<Vec<u8>> {
    let mut raw = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for chunk in text.as_bytes().chunks(4) {
        let mut group = 0u32;
        for byte in chunk {
            let digit = ALPHABET.iter().position(|symbol| symbol == byte)?;
            group = (group << 6) | u32::try_from(digit).expect("below 64");
        }
        if chunk.len() == 1 {
            return None;
        }
        group <<= 6 * (4 - chunk.len());
        raw.extend(&group.to_be_bytes()[1..chunk.len()]);
    }
    Some(raw)
}

#[cfg(test)]
mod tests;
