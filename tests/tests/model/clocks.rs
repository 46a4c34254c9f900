//! The clocks of the processes.

use std::sync::Arc;

use poem_session::clock::{Clock, ManualClock, Timestamp};

use crate::{application::minutes, history::PROCESSES};

/// One clock for each process. A clock may be ahead of time, always by as much.
#[derive(Debug)]
pub(crate) struct Clocks {
    time: Arc<ManualClock>,
    ahead: [u64; PROCESSES],
    /// The minutes since the history began.
    minute: u64,
}

/// The clock of one process.
#[derive(Debug)]
struct ProcessClock {
    time: Arc<ManualClock>,
    ahead: u64,
}

impl Clock for ProcessClock {
    fn now(&self) -> Timestamp {
        self.time.now().saturating_add(minutes(self.ahead))
    }
}

impl Clocks {
    pub(crate) fn new(ahead: [u64; PROCESSES]) -> Self {
        Self {
            time: Arc::new(ManualClock::new()),
            ahead,
            minute: 0,
        }
    }

    pub(crate) fn of(&self, process: usize) -> Arc<dyn Clock> {
        Arc::new(ProcessClock {
            time: Arc::clone(&self.time),
            ahead: self.ahead[process],
        })
    }

    pub(crate) fn pass(&mut self, n: u64) {
        self.minute += n;
        self.time.advance(minutes(n));
    }

    /// The true time.
    pub(crate) fn time(&self) -> Timestamp {
        self.time.now()
    }

    /// The minutes since the history began, by the clock of each process.
    pub(crate) fn minutes(&self) -> [u64; PROCESSES] {
        self.ahead.map(|ahead| self.minute + ahead)
    }

    /// The minutes by which the clocks differ.
    pub(crate) fn skew(&self) -> u64 {
        self.ahead[0].abs_diff(self.ahead[1])
    }

    /// The minutes since the history began, by the clock that is the most ahead.
    pub(crate) fn latest(&self) -> u64 {
        self.minutes().into_iter().max().unwrap_or_default()
    }
}
