//! The target of what servers answer, and of what addresses they may have.

use bytes::Bytes;
use jiff::Timestamp;
use reqwest::StatusCode;

use super::{Allowed, Answer};
use crate::fuzzing::{Message, Target, text};

inventory::submit! { Target { name: "http_answers", run } }

fn run(bytes: &[u8]) {
    let message = Message::of(bytes);
    let answer = Answer { status: StatusCode::OK, headers: message.http(), body: Bytes::copy_from_slice(message.body) };
    let now = Timestamp::from_second(1_800_000_000).expect("within the calendar");
    let _wait = answer.retry_after(now);
    for text in message.headers.iter().filter_map(|(name, _)| text(name)) {
        if let Ok(allowed) = text.parse::<Allowed>() {
            assert_eq!(allowed.to_string().parse(), Ok(allowed));
        }
    }
}
