//! Where reading begins or ends, as people say it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;

use crate::config::{format_duration, parse_duration};

/// One end of what is to be read. As the first it is included, as the last it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The oldest record that still exists.
    Beginning,
    /// Behind the last record that is committed when the question is asked.
    End,
    /// Of every partition that is read.
    Offset(i64),
    /// The first record whose timestamp is at or after this.
    Time(Timestamp),
    /// As [`Self::Time`], this long before the question is asked.
    Ago(Duration),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "allowed: an offset such as 4711, a time such as 2026-01-31T12:00:00Z, how long ago such as 2h or \"2h ago\", beginning, end"
)]
pub struct NotABound;

impl FromStr for Bound {
    type Err = NotABound;

    fn from_str(text: &str) -> Result<Self, NotABound> {
        let text = text.trim();
        match text {
            "beginning" | "earliest" => return Ok(Self::Beginning),
            "end" | "latest" | "now" => return Ok(Self::End),
            _ => {}
        }
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().map(Self::Offset).map_err(|_| NotABound);
        }
        if let Ok(time) = text.parse() {
            return Ok(Self::Time(time));
        }
        let ago = text.strip_prefix('-').or_else(|| text.strip_suffix("ago")).unwrap_or(text);
        parse_duration(ago).map(Self::Ago).ok_or(NotABound)
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Beginning => f.write_str("beginning"),
            Self::End => f.write_str("end"),
            Self::Offset(offset) => offset.fmt(f),
            Self::Time(time) => time.fmt(f),
            Self::Ago(ago) => write!(f, "{} ago", format_duration(*ago)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_times_and_words_are_read() {
        let ago = |seconds| Ok(Bound::Ago(Duration::from_secs(seconds)));
        for (text, expected) in [
            ("0", Ok(Bound::Offset(0))),
            ("4711", Ok(Bound::Offset(4711))),
            ("beginning", Ok(Bound::Beginning)),
            ("end", Ok(Bound::End)),
            ("2026-01-31T12:00:00Z", Ok(Bound::Time("2026-01-31T12:00:00Z".parse().unwrap()))),
            ("2026-01-31T12:00:00.5+01:00", Ok(Bound::Time("2026-01-31T11:00:00.5Z".parse().unwrap()))),
            ("2h ago", ago(7_200)),
            ("-2h", ago(7_200)),
            ("90s", ago(90)),
            ("", Err(NotABound)),
            ("-4711", Err(NotABound)),
            ("yesterday", Err(NotABound)),
            ("99999999999999999999", Err(NotABound)),
        ] {
            assert_eq!(text.parse(), expected, "{text:?}");
        }
    }
}
