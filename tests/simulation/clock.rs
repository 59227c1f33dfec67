//! The clocks of one process. The engine is given a monotonic clock that never goes back, but may leap (a machine that was
//! suspended); due times in records are wall-clock times, and no two machines agree on those.

use std::time::Duration;

use coafi_core::engine::Time;

use crate::random::Random;

/// How far a machine's wall clock may be off, in milliseconds.
const WALL_ERROR_MS: u64 = 3000;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    /// How far the process's clock has leapt ahead of the world's.
    ahead: Duration,
    /// How far ahead its wall clock is. (That of nobody is behind: only differences matter.)
    wall_error: Duration,
}

impl Clock {
    pub(crate) fn new(random: &mut Random) -> Self {
        let wall_error = if random.chance(30) { random.millis(1, WALL_ERROR_MS) } else { Duration::ZERO };
        Self { ahead: Duration::ZERO, wall_error }
    }

    pub(crate) fn leap(&mut self, by: Duration) {
        self.ahead += by;
    }

    /// What the engine is told when it is `now` in the world.
    pub(crate) fn engine(&self, now: Time) -> Time {
        now + self.ahead
    }

    /// When it is `at` for the engine, in the world.
    pub(crate) fn world(&self, at: Time) -> Time {
        Time::default() + (at - (Time::default() + self.ahead))
    }

    /// A due time of the engine as a record says it.
    pub(crate) fn on_wall_clock(self, due: Time) -> Time {
        self.world(due) + self.wall_error
    }

    /// A due time that a record says, on the engine's clock.
    pub(crate) fn on_engine_clock(self, due: Time) -> Time {
        self.engine(Time::default() + (due - (Time::default() + self.wall_error)))
    }
}
