//! Due times: of a cron expression in a time zone, or of an interval.

use std::fmt;
use std::time::Duration;

use croner::Cron;
use croner::parser::CronParser;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// The shortest interval, and the step of cron expressions.
pub const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// The longest interval.
pub const INTERVAL_MAX: Duration = Duration::from_secs(366 * 86_400);
/// Bytes of a cron expression.
const CRON_MAX_BYTES: usize = 200;

/// All due times of a schedule, on whole seconds.
#[derive(Clone, Debug)]
pub struct Timetable(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Cron { text: String, cron: Box<Cron>, zone: TimeZone, zone_name: String },
    Every { seconds: i64 },
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTimetable {
    #[error(
        "{text:?} is no cron expression: {problem}; allowed: [second] minute hour day month weekday, such as 0 6 * * MON-FRI"
    )]
    Cron { text: String, problem: String },
    #[error("{text:?} never comes")]
    Never { text: String },
    #[error("{0:?} is no time zone; allowed: names such as UTC or Europe/Berlin")]
    Zone(String),
    #[error("an interval of {0:?} is not allowed; allowed: whole seconds, from {INTERVAL_MIN:?} to {INTERVAL_MAX:?}")]
    Interval(Duration),
}

impl Timetable {
    /// A cron expression of five fields, or six with seconds first, in an IANA time zone.
    ///
    /// # Errors
    /// [`BadTimetable`]; an expression that never comes (30 February) is one.
    pub fn cron(text: &str, zone_name: &str) -> Result<Self, BadTimetable> {
        let bad = |problem: String| BadTimetable::Cron { text: text.to_owned(), problem };
        if text.len() > CRON_MAX_BYTES {
            return Err(bad(format!("it has {} bytes, more than {CRON_MAX_BYTES}", text.len())));
        }
        let zone = TimeZone::get(zone_name).map_err(|_| BadTimetable::Zone(zone_name.to_owned()))?;
        // A year, the seventh field, ends a schedule for good; that is what `enabled` is for.
        let parser = CronParser::builder().year(croner::parser::Year::Disallowed).build();
        let cron = parser.parse(text).map_err(|error| bad(error.to_string().trim_end_matches('.').to_owned()))?;
        let (text, zone_name) = (text.split_whitespace().collect::<Vec<_>>().join(" "), zone_name.to_owned());
        let timetable = Self(Kind::Cron { text, cron: Box::new(cron), zone, zone_name });
        match timetable.next_after(Timestamp::UNIX_EPOCH) {
            Some(_) => Ok(timetable),
            None => Err(BadTimetable::Never { text: timetable.to_string() }),
        }
    }

    /// Multiples of `interval` since the Unix epoch.
    ///
    /// # Errors
    /// [`BadTimetable::Interval`]
    pub fn every(interval: Duration) -> Result<Self, BadTimetable> {
        if interval.subsec_nanos() != 0 || !(INTERVAL_MIN..=INTERVAL_MAX).contains(&interval) {
            return Err(BadTimetable::Interval(interval));
        }
        Ok(Self(Kind::Every { seconds: interval.as_secs().cast_signed() }))
    }

    /// The first due time after `time`; `None` beyond the end of the calendar.
    #[must_use]
    pub fn next_after(&self, time: Timestamp) -> Option<Timestamp> {
        let second = floor(time);
        let next = match &self.0 {
            Kind::Cron { cron, zone, .. } => {
                cron.find_next_occurrence(&at(second, zone)?, false).ok().map(|next: Zoned| next.timestamp())
            }
            Kind::Every { seconds } => {
                let next = second.div_euclid(*seconds).checked_add(1)?.checked_mul(*seconds)?;
                Timestamp::from_second(next).ok()
            }
        };
        // Whoever asks goes on from the answer: it must not stand still.
        next.filter(|next| *next > time)
    }

    /// The last due time before `time`.
    #[must_use]
    pub fn last_before(&self, time: Timestamp) -> Option<Timestamp> {
        let second = floor(time);
        let within = time.subsec_nanosecond() != 0;
        let last = match &self.0 {
            Kind::Cron { cron, zone, .. } => {
                cron.find_previous_occurrence(&at(second, zone)?, within).ok().map(|last: Zoned| last.timestamp())
            }
            Kind::Every { seconds } => {
                let upto = if within { second } else { second.checked_sub(1)? };
                Timestamp::from_second(upto.div_euclid(*seconds) * seconds).ok()
            }
        };
        last.filter(|last| *last < time)
    }

    /// The zone that its wall-clock times are in; of an interval UTC.
    #[must_use]
    pub fn zone(&self) -> TimeZone {
        match &self.0 {
            Kind::Cron { zone, .. } => zone.clone(),
            Kind::Every { .. } => TimeZone::UTC,
        }
    }
}

/// The second that `time` is in, since the Unix epoch.
fn floor(time: Timestamp) -> i64 {
    // jiff rounds towards zero before 1970.
    time.as_second() - i64::from(time.subsec_nanosecond() < 0)
}

fn at(second: i64, zone: &TimeZone) -> Option<Zoned> {
    Some(Timestamp::from_second(second).ok()?.to_zoned(zone.clone()))
}

/// Notation that says everything about the due times: two with the same text have the same ones.
impl fmt::Display for Timetable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Cron { text, zone_name, .. } => write!(f, "{text} {zone_name}"),
            Kind::Every { seconds } => write!(f, "every {seconds}s"),
        }
    }
}

impl PartialEq for Timetable {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for Timetable {}
