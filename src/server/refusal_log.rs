//! The log of refused connections, handshakes and admin requests, and of handshakes that timed out: a line for each, up
//! to a limit, so that an attack doesn't fill the log. The others are summed up by cause once a second.

use crate::clock::Timestamp;
use crate::heartbeat::{Heartbeat, TimerGuard};
use log::info;
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The most lines in a [`WINDOW`].
const MAX_LINES: u32 = 10;
/// The time in which lines are counted.
const WINDOW: Duration = Duration::from_secs(1);

/// Logs up to [`MAX_LINES`] lines in a [`WINDOW`]. One line has the counts of the others.
pub struct RefusalLog {
    heartbeat: Arc<Heartbeat>,
    window: Mutex<Window>,
}

#[derive(Default)]
struct Window {
    started_at: Option<Timestamp>,
    lines: u32,
    /// The number of lines that weren't logged, by cause. There are few causes.
    suppressed: Vec<(&'static str, u64)>,
    /// Logs these numbers; set if there are any.
    timer: Option<TimerGuard>,
}

impl RefusalLog {
    /// An empty log; `heartbeat` runs its timer.
    pub fn new(heartbeat: Arc<Heartbeat>) -> Arc<Self> {
        Arc::new(RefusalLog { heartbeat, window: Mutex::default() })
    }

    /// Logs a line at `info`, or counts its cause if there are too many in this second.
    pub fn log(self: &Arc<Self>, cause: &'static str, line: fmt::Arguments<'_>) {
        let mut window = self.window.lock();
        if window.timer.is_none() && window.started_at.is_none_or(|at| at.elapsed() >= WINDOW) {
            *window = Window { started_at: Some(Timestamp::now()), ..Window::default() };
        }
        if window.lines < MAX_LINES {
            window.lines += 1;
            drop(window);
            return info!("{line}");
        }
        match window.suppressed.iter_mut().find(|(counted, _)| *counted == cause) {
            Some((_, count)) => *count += 1,
            None => window.suppressed.push((cause, 1)),
        }
        if window.timer.is_none() {
            let refusals = Arc::downgrade(self);
            window.timer = Some(self.heartbeat.schedule(WINDOW, move || {
                if let Some(refusals) = refusals.upgrade() {
                    refusals.log_suppressed();
                }
            }));
        }
    }

    fn log_suppressed(&self) {
        let window = std::mem::take(&mut *self.window.lock());
        let count: u64 = window.suppressed.iter().map(|(_, count)| count).sum();
        let causes = window.suppressed.iter().map(|(cause, count)| format!(" {cause}={count}")).collect::<String>();
        info!("more requests were refused or timed out count={count}{causes}");
    }
}
