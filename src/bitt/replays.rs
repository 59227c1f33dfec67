//! How a replay is told from the live group in the audit records: by the name of its group, which is its run's as well.

/// Between the live group's name and the replay's.
pub const REPLAY: &str = ".replay.";

/// The name of the replay that wrote a record of this group and run; `None` if the live group did.
#[must_use]
pub fn replay_of<'a>(group: &'a str, run: &str) -> Option<&'a str> {
    let (_, name) = group.rsplit_once(REPLAY)?;
    (run == group).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_is_a_group_whose_run_has_its_name() {
        assert_eq!(replay_of("coafi.replay.fix-42", "coafi.replay.fix-42"), Some("fix-42"));
        assert_eq!(replay_of("coafi", ""), None);
        assert_eq!(replay_of("coafi.replay.team", "2026"), None, "a live group may be called anything");
    }
}
