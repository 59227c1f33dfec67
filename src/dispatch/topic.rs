//! Topic names that are derived from a source topic: `<topic>.retry.<delay>` and `<topic>.dlq`.
//!
//! A record keeps its source topic through all its hops: what failed in `coafi.git.retry.5s` goes on to
//! `coafi.git.retry.1m`, never to `coafi.git.retry.5s.retry.1m`.

use std::time::Duration;

use super::delay;

const RETRY: &str = ".retry.";
const DEAD_LETTER: &str = ".dlq";

/// A topic that is consumed: a source topic, or a retry topic of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumedTopic<'a> {
    /// The source topic.
    pub base: &'a str,
    /// The delay of the retry topic; `None` for the source topic itself.
    pub tier: Option<Duration>,
}

impl<'a> ConsumedTopic<'a> {
    #[must_use]
    pub fn parse(topic: &'a str) -> Self {
        if let Some((base, tier)) = topic.rsplit_once(RETRY)
            && let Ok(tier) = delay::parse(tier)
            && !base.is_empty()
        {
            return Self { base, tier: Some(tier) };
        }
        Self { base: topic, tier: None }
    }
}

/// The retry topic of `base` with this delay.
#[must_use]
pub fn retry_topic(base: &str, tier: Duration) -> String {
    format!("{base}{RETRY}{}", delay::format(tier))
}

/// The dead-letter topic of `base`.
#[must_use]
pub fn dead_letter_topic(base: &str) -> String {
    format!("{base}{DEAD_LETTER}")
}

/// Whether it is some topic's dead-letter topic.
#[must_use]
pub fn is_dead_letter_topic(topic: &str) -> bool {
    topic.strip_suffix(DEAD_LETTER).is_some_and(|base| !base.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_topics_name_their_source() {
        let check = |topic: &str, base: &str, tier_s: Option<u64>| {
            assert_eq!(ConsumedTopic::parse(topic), ConsumedTopic { base, tier: tier_s.map(Duration::from_secs) });
        };
        check("coafi.git", "coafi.git", None);
        check("coafi.git.retry.5s", "coafi.git", Some(5));
        check("coafi.git.retry.10m", "coafi.git", Some(600));
        check("a.retry.5s.retry.1m", "a.retry.5s", Some(60));
        for source in ["coafi.retry.policy", "coafi.git.retry.", ".retry.5s", "coafi.git.retry.5 parsecs"] {
            check(source, source, None);
        }
    }

    #[test]
    fn a_derived_name_is_read_back() {
        let topic = retry_topic("coafi.git", Duration::from_secs(90));
        assert_eq!(topic, "coafi.git.retry.90s");
        assert_eq!(ConsumedTopic::parse(&topic).tier, Some(Duration::from_secs(90)));
        assert_eq!(dead_letter_topic("coafi.git"), "coafi.git.dlq");
    }
}
