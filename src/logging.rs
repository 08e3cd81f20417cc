//! The log: simple_logger on a thread of its own, behind a bounded queue.
//!
//! A line costs its writer a formatted string and never a wait, a lock of standard error, or a panic: simple_logger
//! panics when standard error is gone, and blocks while its reader does. Lines that find the queue full, or can't be
//! written, are dropped and counted.

use crate::counters::Counter;
use log::{Level, LevelFilter, Log, Metadata, Record};
use simple_logger::SimpleLogger;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Lines that may wait for the writer.
const QUEUE_LINES: usize = 4096;
/// How long the end of the program waits for the last lines.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
const THREAD: &str = "log";

/// Only this crate's lines are logged: the libraries' own hold messages' contents at their lowest levels. Which module
/// a line comes from is nothing that users should come to rely on.
const TARGET: &str = env!("CARGO_CRATE_NAME");

static DROPPED: Counter = Counter::new();

/// Lines that were not written, since the start.
pub fn dropped() -> u64 {
    DROPPED.get()
}

enum Entry {
    Line { level: Level, text: String },
    Flush(SyncSender<()>),
}

struct Queue {
    entries: SyncSender<Entry>,
    level: LevelFilter,
    timestamps: bool,
}

/// Starts logging to standard error, and logs panics instead of printing them.
///
/// Under systemd (`JOURNAL_STREAM` is set) lines carry no time: the journal has its own.
///
/// # Errors
/// When the thread can't be started, or something else is the process's logger already.
pub fn start(level: LevelFilter) -> std::io::Result<()> {
    let (entries, queue) = sync_channel(QUEUE_LINES);
    thread::Builder::new().name(THREAD.to_owned()).spawn(move || write_all(&queue))?;
    let timestamps = std::env::var_os("JOURNAL_STREAM").is_none();
    log::set_boxed_logger(Box::new(Queue { entries, level, timestamps })).map_err(std::io::Error::other)?;
    log::set_max_level(level);
    std::panic::set_hook(Box::new(|panic| {
        // The writer's own panic is its way to say that standard error is gone.
        if thread::current().name() != Some(THREAD) {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            // Its message may hold anything; the place tells enough.
            log::error!("panicked at={place}");
        }
    }));
    Ok(())
}

fn write_all(queue: &Receiver<Entry>) {
    let writer = SimpleLogger::new().with_level(LevelFilter::Trace);
    for entry in queue {
        match entry {
            Entry::Line { level, text } => {
                let write = AssertUnwindSafe(|| {
                    writer.log(&Record::builder().level(level).target(TARGET).args(format_args!("{text}")).build());
                });
                DROPPED.add(u64::from(catch_unwind(write).is_err()));
            }
            // Nobody may be waiting any more.
            Entry::Flush(done) => drop(done.try_send(())),
        }
    }
}

impl Log for Queue {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= self.level && metadata.target().starts_with(TARGET)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let text = match self.timestamps {
            true => format!("{} {}", utc_time(SystemTime::now()), record.args()),
            false => record.args().to_string(),
        };
        let line = Entry::Line { level: record.level(), text };
        DROPPED.add(u64::from(self.entries.try_send(line).is_err()));
    }

    /// Waits until all lines before it are written, a second at most.
    fn flush(&self) {
        let (done, written) = sync_channel(1);
        if self.entries.try_send(Entry::Flush(done)).is_ok() {
            let _ = written.recv_timeout(FLUSH_TIMEOUT);
        }
    }
}

/// RFC 3339 in UTC, to the millisecond.
fn utc_time(time: SystemTime) -> String {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, seconds) = (since_epoch.as_secs() / 86_400, since_epoch.as_secs() % 86_400);
    let (year, month, day) = civil_date(days);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let millis = since_epoch.subsec_millis();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Year, month and day of a day since 1970-01-01, in the proleptic Gregorian calendar (Howard Hinnant's
/// `civil_from_days`: years begin in March, so that the leap day is the last).
fn civil_date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_rfc_3339() {
        let at = |seconds| utc_time(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00.000Z");
        assert_eq!(at(1_709_251_199), "2024-02-29T23:59:59.000Z");
        assert_eq!(at(1_709_251_200), "2024-03-01T00:00:00.000Z");
        assert_eq!(at(4_102_444_799), "2099-12-31T23:59:59.000Z");
    }
}
