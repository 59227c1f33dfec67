//! A producer that writes what no client library would: Kafka's wire protocol by hand (Produce v3, record batch v2).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use crate::cluster::PATIENCE;

/// Header: name and value, any bytes.
pub(crate) type RawHeader<'a> = (&'a [u8], Option<&'a [u8]>);

/// The broker has not yet heard that it leads the partition, or that there is a leader at all.
const NOT_YET: [i16; 3] = [3, 5, 6];

/// Produces one record to a partition that the first bootstrap server leads.
pub(crate) fn produce_raw(bootstrap: &str, topic: &str, partition: i32, value: &[u8], headers: &[RawHeader<'_>]) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match try_produce(bootstrap, topic, partition, value, headers) {
            0 => return,
            code => assert!(NOT_YET.contains(&code) && Instant::now() < deadline, "the broker says {code}"),
        }
    }
}

/// The broker's error code; 0 is success.
fn try_produce(bootstrap: &str, topic: &str, partition: i32, value: &[u8], headers: &[RawHeader<'_>]) -> i16 {
    let batch = batch(&record(value, headers));
    let mut body = Vec::new();
    body.extend((-1_i16).to_be_bytes()); // no transactional id
    body.extend((-1_i16).to_be_bytes()); // acks=all
    body.extend(10_000_i32.to_be_bytes());
    body.extend(1_i32.to_be_bytes());
    string(&mut body, topic);
    body.extend(1_i32.to_be_bytes());
    body.extend(partition.to_be_bytes());
    body.extend(i32::try_from(batch.len()).unwrap().to_be_bytes());
    body.extend(batch);
    let mut request = Vec::new();
    request.extend(0_i16.to_be_bytes()); // Produce
    request.extend(3_i16.to_be_bytes());
    request.extend(1_i32.to_be_bytes()); // correlation id
    string(&mut request, "raw");
    request.extend(body);
    let mut stream = TcpStream::connect(bootstrap.split(',').next().unwrap()).unwrap();
    stream.write_all(&i32::try_from(request.len()).unwrap().to_be_bytes()).unwrap();
    stream.write_all(&request).unwrap();
    let mut size = [0; 4];
    stream.read_exact(&mut size).unwrap();
    let mut answer = vec![0; usize::try_from(i32::from_be_bytes(size)).unwrap()];
    stream.read_exact(&mut answer).unwrap();
    // correlation id, one topic, its name, one partition, its number; then the error code
    let at = 4 + 4 + 2 + topic.len() + 4 + 4;
    i16::from_be_bytes([answer[at], answer[at + 1]])
}

fn string(into: &mut Vec<u8>, text: &str) {
    into.extend(i16::try_from(text.len()).unwrap().to_be_bytes());
    into.extend(text.as_bytes());
}

fn record(value: &[u8], headers: &[RawHeader<'_>]) -> Vec<u8> {
    let mut body = vec![0]; // attributes
    varint(&mut body, 0); // timestamp delta
    varint(&mut body, 0); // offset delta
    varint(&mut body, -1); // no key
    bytes(&mut body, value);
    varint(&mut body, headers.len() as i64);
    for (name, value) in headers {
        bytes(&mut body, name);
        match value {
            Some(value) => bytes(&mut body, value),
            None => varint(&mut body, -1),
        }
    }
    let mut record = Vec::new();
    varint(&mut record, body.len() as i64);
    record.extend(body);
    record
}

fn batch(record: &[u8]) -> Vec<u8> {
    let mut checked = Vec::new();
    checked.extend(0_i16.to_be_bytes()); // attributes
    checked.extend(0_i32.to_be_bytes()); // last offset delta
    checked.extend(1_i64.to_be_bytes()); // first timestamp
    checked.extend(1_i64.to_be_bytes()); // last timestamp
    checked.extend((-1_i64).to_be_bytes()); // producer id
    checked.extend((-1_i16).to_be_bytes()); // producer epoch
    checked.extend((-1_i32).to_be_bytes()); // base sequence
    checked.extend(1_i32.to_be_bytes()); // records
    checked.extend(record);
    let mut batch = Vec::new();
    batch.extend(0_i64.to_be_bytes()); // base offset
    batch.extend(i32::try_from(4 + 1 + 4 + checked.len()).unwrap().to_be_bytes());
    batch.extend((-1_i32).to_be_bytes()); // leader epoch
    batch.push(2); // magic
    batch.extend(crc32c(&checked).to_be_bytes());
    batch.extend(checked);
    batch
}

fn bytes(into: &mut Vec<u8>, content: &[u8]) {
    varint(into, content.len() as i64);
    into.extend(content);
}

/// Zigzag, seven bits at a time.
fn varint(into: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        into.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
        rest >>= 7;
    }
    into.push(u8::try_from(rest).unwrap());
}

fn crc32c(data: &[u8]) -> u32 {
    !data.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 })
    })
}
