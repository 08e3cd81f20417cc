//! The log: a bounded queue, and a thread that writes its lines with simple_logger.
//!
//! Logging formats a line and queues it. It never blocks or panics, unlike simple_logger, which blocks while standard
//! error does and panics if it is closed. Lines that don't fit into the queue or can't be written are dropped and
//! counted.

use crate::clock::rfc_3339;
use crate::metrics::Counter;
use log::{Level, LevelFilter, Log, Metadata, Record};
use simple_logger::SimpleLogger;
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
    level: LevelFilter,
    timestamps: bool,
}

/// Starts logging to standard error, and logs panics instead of printing them.
///
/// Lines have no timestamps under systemd (if `JOURNAL_STREAM` is set), since the journal adds its own.
///
/// # Errors
/// If the thread can't be started, or the process has a logger already.
pub fn start(level: LevelFilter) -> std::io::Result<()> {
    let (queue, items) = sync_channel(QUEUE_LINES);
    thread::Builder::new().name(THREAD_NAME.to_owned()).spawn(move || write_lines(&items))?;
    let timestamps = std::env::var_os("JOURNAL_STREAM").is_none();
    log::set_boxed_logger(Box::new(QueueLogger { queue, level, timestamps })).map_err(std::io::Error::other)?;
    log::set_max_level(level);
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

fn write_lines(items: &Receiver<QueueItem>) {
    let writer = SimpleLogger::new().with_level(LevelFilter::Trace);
    for item in items {
        match item {
            QueueItem::Line { level, text } => {
                let write = AssertUnwindSafe(|| {
                    writer.log(&Record::builder().level(level).target(TARGET).args(format_args!("{text}")).build());
                });
                DROPPED.add(u64::from(catch_unwind(write).is_err()));
            }
            // The receiver may have timed out.
            QueueItem::Flush(done) => drop(done.try_send(())),
        }
    }
}

impl Log for QueueLogger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= self.level && metadata.target().starts_with(TARGET)
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
