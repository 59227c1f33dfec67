//! How many log lines one cause of failures may take, so that a flood cannot fill a disk.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::engine::Time;

/// Lines of one code in one window. With lines of about 2 KB that is at most 350 MB a day.
const LINES: u32 = 20;
const WINDOW: Duration = Duration::from_secs(10);

/// Counts lines by error code. Codes are constants of the program, so there are few.
#[derive(Debug, Default)]
pub(super) struct Quota {
    windows: BTreeMap<&'static str, Window>,
}

#[derive(Debug, Default)]
struct Window {
    began: Time,
    lines: u32,
    suppressed: u64,
}

impl Quota {
    /// Whether a line may be written, and how many of this code were not since the last one that was.
    pub(super) fn admit(&mut self, code: &'static str, now: Time) -> Option<u64> {
        let window = self.windows.entry(code).or_insert_with(|| Window { began: now, ..Window::default() });
        if now - window.began >= WINDOW {
            (window.began, window.lines) = (now, 0);
        }
        if window.lines == LINES {
            window.suppressed += 1;
            return None;
        }
        window.lines += 1;
        Some(std::mem::take(&mut window.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_code_is_counted_and_leaves_room_for_another() {
        let mut quota = Quota::default();
        let flood = (0..1_000).filter(|_| quota.admit("timeout", Time(5)).is_some()).count();
        assert_eq!(flood, LINES as usize);
        assert_eq!(quota.admit("poison", Time(5)), Some(0));
        let later = Time(5) + WINDOW;
        assert_eq!(quota.admit("timeout", later), Some(1_000 - u64::from(LINES)), "said once");
        assert_eq!(quota.admit("timeout", later), Some(0));
    }
}
