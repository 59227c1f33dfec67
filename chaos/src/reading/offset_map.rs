//! The offset map in a committed offset's metadata, read by what the product documents about it: `coafi1:` and base64 of
//! identity (8 bytes), position, claim, transaction, dirty, running, suspects (offset, deaths), attempts (offset, attempts,
//! done), form, resolved; numbers are LEB128, offsets relative to the position. Form 0: run lengths, unresolved first; form
//! 1: a bitmap, lowest bit first.

use std::ops::Range;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// Offsets above `position` that the metadata names as resolved; none if it is not ours.
pub(super) fn resolved(metadata: &str, position: i64) -> Result<Vec<Range<i64>>> {
    let Some(text) = metadata.strip_prefix("coafi1:") else { return Ok(Vec::new()) };
    let raw = STANDARD_NO_PAD.decode(text).context("an offset map that is not base64")?;
    let mut rest = raw.get(8..).context("an offset map without identity")?;
    ensure!(number(&mut rest)? == position.cast_unsigned(), "an offset map of another position than {position}");
    // Claim, transaction, dirty, running.
    for _ in 0..4 {
        number(&mut rest)?;
    }
    for size in [2, 3] {
        for _ in 0..number(&mut rest)? * size {
            number(&mut rest)?;
        }
    }
    let (form, mut rest) = rest.split_first().context("an offset map without resolved offsets")?;
    let mut ranges = Vec::new();
    if *form == 0 {
        let mut at = position;
        while !rest.is_empty() {
            let start = at + number(&mut rest)?.cast_signed();
            at = start + number(&mut rest)?.cast_signed();
            ranges.push(start..at);
        }
    } else {
        for (offset, byte) in (position..).step_by(8).zip(rest) {
            let set = (0..8).filter(|bit| byte & (1 << bit) != 0);
            ranges.extend(set.map(|bit| offset + bit..offset + bit + 1));
        }
    }
    Ok(ranges)
}

fn number(bytes: &mut &[u8]) -> Result<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().context("an offset map cut short")?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    anyhow::bail!("a number without end")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(fields: &[u8], form_and_resolved: &[u8]) -> String {
        let raw = [&[0; 8], fields, form_and_resolved].concat();
        format!("coafi1:{}", STANDARD_NO_PAD.encode(raw))
    }

    #[test]
    fn both_forms_are_read() {
        // Position 300; one suspect and one record with attempts.
        let fields = [0xac, 2, 9, 9, 1, 0, 1, 0, 2, 1, 3, 1, 0];
        let runs = metadata(&fields, &[0, 1, 2, 3, 1]);
        assert_eq!(resolved(&runs, 300).unwrap(), [301..303, 306..307]);
        let bits = metadata(&fields, &[1, 0b110, 0b1]);
        assert_eq!(resolved(&bits, 300).unwrap(), [301..302, 302..303, 308..309]);
        assert!(resolved(&bits, 299).is_err());
        assert!(resolved("coafi1:AAAA", 0).is_err());
        assert!(resolved("of somebody else", 0).unwrap().is_empty());
    }
}
