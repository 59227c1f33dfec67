use super::*;

const POSITION: NextOffset = NextOffset(1_000_000);

fn round_trip(map: &OffsetMap) -> usize {
    let text = map.encode(7, POSITION, MAX_METADATA_BYTES);
    assert_eq!(OffsetMap::decode(&text, 7, POSITION).as_ref(), Some(map));
    text.len()
}

fn resolved(deltas: impl Iterator<Item = i64>) -> Vec<Range<i64>> {
    let mut ranges: Vec<Range<i64>> = Vec::new();
    for offset in deltas.map(|delta| POSITION.0 + delta) {
        match ranges.last_mut() {
            Some(last) if last.end == offset => last.end += 1,
            _ => ranges.push(offset..offset + 1),
        }
    }
    ranges
}

#[test]
fn everything_comes_back() {
    round_trip(&OffsetMap::default());
    round_trip(&OffsetMap {
        claim: 41,
        transaction: 7,
        dirty: 2,
        running: Some(Offset(POSITION.0)),
        suspects: vec![Suspect { offset: Offset(POSITION.0 + 3), deaths: 2 }],
        attempts: vec![Attempted { offset: Offset(POSITION.0), attempts: 3, done: 5, list: 0xbeef }],
        resolved: resolved([1, 2, 3, 9, 500].into_iter()),
    });
}

#[test]
fn the_shorter_form_is_taken() {
    let long_run = OffsetMap { resolved: resolved(1..1_000_000), ..OffsetMap::default() };
    assert!(round_trip(&long_run) < 60);
    let alternating = OffsetMap { resolved: resolved((1..16_000).step_by(2)), ..OffsetMap::default() };
    assert!(round_trip(&alternating) < 2_750);
}

#[test]
fn what_fits_by_the_rule_is_encodable_in_the_worst_case() {
    let room = room(64, MAX_METADATA_BYTES);
    let attempts = |count: i64| {
        (0..count)
            .map(|n| Attempted { offset: Offset(POSITION.0 + 2 * n), attempts: 200, done: u16::MAX, list: u16::MAX })
            .collect()
    };
    let span = (0..).take_while(|span| fits(*span, usize::MAX / 4, room)).last().unwrap();
    assert!(span >= 16_000, "the window is {span} offsets");
    let dense = resolved((1..span.cast_signed()).step_by(2));
    assert!(
        round_trip(&OffsetMap { attempts: attempts(64), resolved: dense, ..OffsetMap::default() })
            <= MAX_METADATA_BYTES
    );
    let wide = 1 << 40;
    let records = (0..).take_while(|records| fits(wide, *records, room)).last().unwrap();
    assert!(records >= 100, "{records} records in a sparse window");
    let sparse = resolved((1..=records as i64).map(|n| n * (wide.cast_signed() / records as i64) - 1));
    assert!(
        round_trip(&OffsetMap { attempts: attempts(64), resolved: sparse, ..OffsetMap::default() })
            <= MAX_METADATA_BYTES
    );
}

#[test]
fn what_is_not_ours_is_ignored() {
    let text = OffsetMap { resolved: resolved(1..5), ..OffsetMap::default() }.encode(7, POSITION, MAX_METADATA_BYTES);
    assert_eq!(OffsetMap::decode(&text, 8, POSITION), None, "another topic");
    assert_eq!(OffsetMap::decode(&text, 7, NextOffset(5)), None, "another position");
    for foreign in ["", "{\"a\":1}", "coafi1:", "coafi1:!!!!", "coafi2:AAAA", "coafi1:A"] {
        assert_eq!(OffsetMap::decode(foreign, 7, POSITION), None, "{foreign}");
    }
    for cut in 0..text.len() {
        let decoded = OffsetMap::decode(&text[..cut], 7, POSITION);
        assert!(decoded.is_none_or(|map| map.resolved.len() <= 1), "cut at {cut}");
    }
}

#[test]
fn the_format_is_this() {
    let map = OffsetMap {
        claim: 300,
        transaction: 2,
        dirty: 1,
        running: Some(Offset(POSITION.0 + 130)),
        suspects: vec![Suspect { offset: Offset(POSITION.0 + 3), deaths: 2 }],
        attempts: vec![Attempted { offset: Offset(POSITION.0 + 1), attempts: 4, done: 5, list: 0 }],
        resolved: resolved(2..12),
    };
    let raw: &[u8] = &[
        7, 0, 0, 0, 0, 0, 0, 0, // identity
        0xc0, 0x84, 0x3d, // position 1,000,000
        0xac, 0x02, // claim
        2, 1, // transaction, dirty
        0x83, 0x01, // running + 1
        1, 3, 2, // suspects
        1, 1, 4, 5, // attempts
        0, 2, 10, // two unresolved, ten resolved
    ];
    let text = map.encode(7, POSITION, MAX_METADATA_BYTES);
    assert_eq!(text, format!("coafi1:{}", base64_encode(raw)));
    assert_eq!(text, "coafi1:BwAAAAAAAADAhD2sAgIBgwEBAwIBAQQFAAIK");
}

/// Release 0.1.0 reads one number, and of it the bits of the handlers that a route has.
#[test]
fn whose_handlers_are_done_is_in_the_high_bits_of_which_ones() {
    let map = |known| OffsetMap { attempts: vec![known], ..OffsetMap::default() };
    let known = Attempted { offset: Offset(POSITION.0 + 1), attempts: 4, done: 0b101, list: 0x8001 };
    let text = map(known).encode(7, POSITION, MAX_METADATA_BYTES);
    let raw = base64_decode(text.strip_prefix(PREFIX).unwrap()).unwrap();
    let mut done = Reader(&raw[raw.len() - 6..raw.len() - 1]);
    assert_eq!(done.small(), Some(0x8001_0005));
    round_trip(&map(known));
}

#[test]
fn what_is_done_is_done_of_one_list_of_handlers() {
    let (ours, other) = (HandlerList(7), HandlerList(8));
    let known = Attempted::new(Offset(0), 1, 0b101, ours);
    assert_eq!((known.done_of(ours), known.done_of(other)), (0b101, 0));
    assert_eq!(Attempted { list: 0, ..known }.done_of(other), 0b101, "release 0.1.0 does not say of which");
    assert_eq!(Attempted::new(Offset(0), 1, 0, ours).list, 0, "nothing is said of nothing");
    for list in [0, 1, u64::from(u16::MAX) - 1, u64::from(u16::MAX), u64::MAX] {
        assert_ne!(HandlerList(list).fingerprint(), 0, "{list}");
    }
}

#[test]
fn the_bitmap_s_bits_are_offsets_from_the_position_on() {
    let map = OffsetMap { resolved: resolved([1, 3, 5, 8, 10].into_iter()), ..OffsetMap::default() };
    let text = map.encode(7, POSITION, MAX_METADATA_BYTES);
    let raw = base64_decode(text.strip_prefix(PREFIX).unwrap()).unwrap();
    assert_eq!(raw[raw.len() - 3..], [1, 0b0010_1010, 0b0000_0101]);
    round_trip(&map);
}

#[test]
fn base64_is_that_of_rfc_4648_without_padding() {
    for (raw, text) in [
        (&b""[..], ""),
        (b"f", "Zg"),
        (b"fo", "Zm8"),
        (b"foo", "Zm9v"),
        (b"foob", "Zm9vYg"),
        (b"fooba", "Zm9vYmE"),
        (b"foobar", "Zm9vYmFy"),
        (&[0xfb, 0xff, 0xfe], "+//+"),
    ] {
        assert_eq!(base64_encode(raw), text);
        assert_eq!(base64_decode(text).as_deref(), Some(raw));
    }
    for damaged in ["Z", "Zm9vY", "Zm9=", "Zm 9", "Zm9-"] {
        assert_eq!(base64_decode(damaged), None, "{damaged}");
    }
}

#[test]
fn numbers_take_a_byte_for_seven_bits() {
    for (number, length) in [
        (0, 1),
        (127, 1),
        (128, 2),
        (16_383, 2),
        (16_384, 3),
        ((1 << 21) - 1, 3),
        (1 << 21, 4),
        ((1 << 63) - 1, 9),
        (1 << 63, 10),
        (u64::MAX, 10),
    ] {
        let mut bytes = Vec::new();
        put(&mut bytes, number);
        assert_eq!((bytes.len(), varint_len(number)), (length, length as u64), "{number}");
        let mut reader = Reader(&bytes);
        assert_eq!((reader.number(), reader.0.len()), (Some(number), 0));
        assert_eq!(Reader(&bytes[..length - 1]).number(), None, "{number} cut short");
    }
    assert_eq!(Reader(&[0x80; 11]).number(), None, "no number is so long");
}

#[test]
fn numbers_beyond_their_range_are_damage() {
    let number = |number: u64| {
        let mut bytes = Vec::new();
        put(&mut bytes, number);
        bytes
    };
    assert_eq!(Reader(&number(u64::from(u32::MAX))).small(), Some(u32::MAX));
    assert_eq!(Reader(&number(u64::from(u32::MAX) + 1)).small(), None);
    assert_eq!(Reader(&number(8)).count(8), Some(8));
    assert_eq!(Reader(&number(9)).count(8), None);
}

#[test]
fn room_is_what_the_reserved_counts_leave() {
    // 3,066 raw bytes behind the prefix; 62 are fixed, and 8 suspects, 12 halted and each parked record have ten.
    assert_eq!(room(64, MAX_METADATA_BYTES), 3_066 - 62 - 84 * 10);
    assert_eq!(room(0, MAX_METADATA_BYTES), 3_066 - 62 - 200);
    assert_eq!(room(300, MAX_METADATA_BYTES), 0);
    assert_eq!((room(0, 0), room(0, 7), room(1, 370), room(1, 375)), (0, 0, 0, 4));
}

#[test]
fn a_bit_for_an_offset_or_two_runs_for_a_record() {
    assert!(fits(80, 1_000, 10) && !fits(81, 1_000, 10));
    assert!(fits(100, 4, 10) && !fits(100, 5, 10), "two bytes for each of five runs");
    assert!(fits(200, 1, 8) && !fits(200, 2, 8), "spans from 128 on take two bytes a number");
    assert!(!fits(1, 1, 0));
}

#[test]
fn what_is_damaged_is_ignored() {
    let raw = |change: &dyn Fn(&mut Vec<u8>)| {
        let text = OffsetMap { resolved: resolved(1..50), ..OffsetMap::default() }.encode(7, POSITION, 4096);
        let mut raw = base64_decode(text.strip_prefix(PREFIX).unwrap()).unwrap();
        change(&mut raw);
        OffsetMap::decode(&format!("{PREFIX}{}", base64_encode(&raw)), 7, POSITION)
    };
    assert!(raw(&|_| {}).is_some());
    let form = raw(&|raw| {
        let at = raw.len() - 3;
        raw[at] = 2;
    });
    assert_eq!(form, None, "an unknown form");
    assert_eq!(raw(&|raw| raw.truncate(raw.len() - 1)), None, "a run without its end");
    let empty = raw(&|raw| {
        let at = raw.len() - 1;
        raw[at] = 0;
    });
    assert_eq!(empty.unwrap().resolved, [], "an empty run says nothing");
    let far = raw(&|raw| {
        let at = raw.len() - 2;
        raw.truncate(at);
        put(raw, u64::MAX);
        put(raw, 1);
    });
    assert_eq!(far, None, "beyond every offset");
}

#[test]
fn bits_beyond_every_offset_are_damage() {
    let position = NextOffset(i64::MAX - 8);
    let with_bits = |bits: &[u8]| {
        let text = OffsetMap::default().encode(7, position, MAX_METADATA_BYTES);
        let mut raw = base64_decode(text.strip_prefix(PREFIX).unwrap()).unwrap();
        *raw.last_mut().unwrap() = 1;
        raw.extend(bits);
        OffsetMap::decode(&format!("{PREFIX}{}", base64_encode(&raw)), 7, position)
    };
    assert_eq!(with_bits(&[0x80]).unwrap().resolved.first(), Some(&(i64::MAX - 1..i64::MAX)));
    assert_eq!((with_bits(&[0, 1]), with_bits(&[0, 2])), (None, None));
}

#[test]
#[should_panic(expected = "was let grow")]
fn a_map_that_does_not_fit_is_a_bug() {
    let map = OffsetMap { resolved: resolved((1..900).step_by(2)), ..OffsetMap::default() };
    let length = map.encode(7, POSITION, MAX_METADATA_BYTES).len();
    assert_eq!(map.encode(7, POSITION, length).len(), length);
    let _ = map.encode(7, POSITION, length - 1);
}

#[test]
fn a_newer_version_is_known_by_its_head_and_only_where_it_belongs() {
    let text = OffsetMap { resolved: resolved(1..5), ..OffsetMap::default() }.encode(7, POSITION, MAX_METADATA_BYTES);
    let of_version = |version: &str| text.replacen("coafi1", &format!("coafi{version}"), 1);
    let newer = |text: &str| newer_version(text, 7, POSITION);
    assert_eq!((newer(&of_version("2")), newer(&of_version("17"))), (Some(2), Some(17)));
    for other in [text.clone(), of_version("0"), of_version(""), of_version("x"), text.replacen("coafi1:", "", 1)] {
        assert_eq!(newer(&other), None, "{other}");
    }
    assert_eq!(newer_version(&of_version("2"), 8, POSITION), None, "another topic");
    assert_eq!(newer_version(&of_version("2"), 7, NextOffset(5)), None, "another position");
    assert_eq!(newer("coafi2:BwAA"), None, "cut short");
    assert_eq!(OffsetMap::decode(&of_version("2"), 7, POSITION), None);
}
