//! The log: a bounded queue, and a thread that writes its lines with simple_logger; and errors that are
//! printed without the log.
//!
//! Logging formats a line and queues it. It never blocks or panics, unlike simple_logger, which blocks while standard
//! error does and panics if it is closed. Lines that don't fit into the queue or can't be written are dropped and
//! counted.

use crate::clock::rfc_3339;
use crate::metrics::Counter;
use log::{Level, LevelFilter, Log, Metadata, Record};
use simple_logger::SimpleLogger;
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Write, stderr};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// Maximum lines in the queue.
const QUEUE_LINES: usize = 4096;
/// How long the exiting program waits for queued lines to be written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);
/// The time between two attempts to request a flush while the queue is full.
const FLUSH_RETRY: Duration = Duration::from_millis(10);
/// The writer thread's name.
const THREAD_NAME: &str = "log";

/// Only this crate's records are logged: at `debug` and `trace`, those of libraries contain message contents. Every
/// line has the crate's name as its target, since module names aren't stable.
const TARGET: &str = env!("CARGO_CRATE_NAME");

static DROPPED: Counter = Counter::new();

/// The number of lines dropped since the start.
pub fn dropped() -> u64 {
    DROPPED.get()
}

enum QueueItem {
    Line {
        level: Level,
        text: String,
    },
    /// A request to signal when all lines queued earlier are written.
    Flush(SyncSender<()>),
}

struct QueueLogger {
    queue: SyncSender<QueueItem>,
    timestamps: bool,
}

/// Starts logging to standard error, and logs panics instead of printing them.
///
/// Lines for the journal have no timestamps, since it adds its own, and begin with their priority, `<3>` to `<7>`.
///
/// # Errors
/// If the thread can't be started, or the process has a logger already.
pub fn start(level: LevelFilter) -> io::Result<()> {
    let (queue, items) = sync_channel(QUEUE_LINES);
    let is_journal = is_journal();
    thread::Builder::new().name(THREAD_NAME.to_owned()).spawn(move || write_lines(&items, is_journal))?;
    log::set_boxed_logger(Box::new(QueueLogger { queue, timestamps: !is_journal })).map_err(io::Error::other)?;
    set_level(level);
    std::panic::set_hook(Box::new(|panic| {
        // A panic of the writer thread means that standard error is closed.
        if thread::current().name() != Some(THREAD_NAME) {
            let location = panic.location().map(ToString::to_string).unwrap_or_default();
            // The message isn't logged: it may contain data of a client.
            log::error!("panicked at={location}");
        }
    }));
    Ok(())
}

/// Sets the most verbose level that is logged.
pub fn set_level(level: LevelFilter) {
    log::set_max_level(level);
}

/// Prints a message of one or more lines to standard error, without the log.
pub fn print_error(message: &str) {
    let prefix = if is_journal() { priority(Level::Error) } else { "" };
    let lines: String = message.lines().map(|line| format!("{prefix}{}\n", escape_controls(line))).collect();
    // If standard error is closed, only the exit code can be reported.
    let _ = stderr().write_all(lines.as_bytes());
}

/// Whether standard error is a stream to the journal: systemd names its device and inode in `JOURNAL_STREAM`, which
/// processes with another standard error may inherit.
fn is_journal() -> bool {
    let Ok(stderr) = stderr().as_fd().try_clone_to_owned() else { return false };
    let Ok(metadata) = File::from(stderr).metadata() else { return false };
    let id = format!("{}:{}", metadata.dev(), metadata.ino());
    std::env::var_os("JOURNAL_STREAM").is_some_and(|stream| stream == *id.as_str())
}

/// The priority of a line for the journal; see sd-daemon(3).
fn priority(level: Level) -> &'static str {
    match level {
        Level::Error => "<3>",
        Level::Warn => "<4>",
        Level::Info => "<6>",
        Level::Debug | Level::Trace => "<7>",
    }
}

fn write_lines(items: &Receiver<QueueItem>, with_priority: bool) {
    let writer = SimpleLogger::new().with_level(LevelFilter::Trace);
    for item in items {
        match item {
            QueueItem::Line { level, text } => {
                let prefix = if with_priority { priority(level) } else { "" };
                let text = escape_controls(&text);
                let write = AssertUnwindSafe(|| {
                    // The lock keeps the priority and its line together.
                    let mut stderr = stderr().lock();
                    let written = stderr.write_all(prefix.as_bytes());
                    writer.log(&Record::builder().level(level).target(TARGET).args(format_args!("{text}")).build());
                    written
                });
                let is_written = catch_unwind(write).is_ok_and(|written| written.is_ok());
                DROPPED.add(u64::from(!is_written));
            }
            // The receiver may have timed out.
            QueueItem::Flush(done) => drop(done.try_send(())),
        }
    }
}

/// Escapes control characters, so that a text is one line and can't change the state of a terminal.
fn escape_controls(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if c.is_control() { escaped.extend(c.escape_default()) } else { escaped.push(c) }
    }
    Cow::Owned(escaped)
}

impl Log for QueueLogger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level() && metadata.target().starts_with(TARGET)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let text = if self.timestamps {
            format!("{} {}", rfc_3339(SystemTime::now()), record.args())
        } else {
            record.args().to_string()
        };
        let line = QueueItem::Line { level: record.level(), text };
        DROPPED.add(u64::from(self.queue.try_send(line).is_err()));
    }

    /// Waits up to [`FLUSH_TIMEOUT`] until all lines queued earlier are written.
    fn flush(&self) {
        let deadline = Instant::now() + FLUSH_TIMEOUT;
        let (done, written) = sync_channel(1);
        // A full queue has no room for the request until the writer has caught up.
        while let Err(TrySendError::Full(_)) = self.queue.try_send(QueueItem::Flush(done.clone())) {
            if Instant::now() >= deadline {
                return;
            }
            thread::sleep(FLUSH_RETRY);
        }
        let _ = written.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        for (text, expected) in [
            ("listening addr=127.0.0.1:80", "listening addr=127.0.0.1:80"),
            ("one\ntwo\r\t", "one\\ntwo\\r\\t"),
            ("\u{1b}[2J\u{7f}\u{9b}", "\\u{1b}[2J\\u{7f}\\u{9b}"),
            ("gr\u{fc}n \\n", "gr\u{fc}n \\n"),
        ] {
            assert_eq!(escape_controls(text), expected);
        }
    }
}
