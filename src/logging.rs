//! The log: simple_logger on a thread of its own, behind a bounded queue.
//!
//! A line costs its writer a formatted string and never a wait, a lock of standard error, or a panic: simple_logger
//! panics when standard error is gone, and blocks while its reader does. Lines that find the queue full, or can't be
//! written, are dropped and counted.

use crate::clock::rfc_3339;
use crate::metrics::Counter;
use log::{Level, LevelFilter, Log, Metadata, Record};
use simple_logger::SimpleLogger;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, SystemTime};

/// Lines that may wait for the writer.
const QUEUE_LINES: usize = 4096;
/// How long the end of the program waits for the last lines.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);
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
            true => format!("{} {}", rfc_3339(SystemTime::now()), record.args()),
            false => record.args().to_string(),
        };
        let line = Entry::Line { level: record.level(), text };
        DROPPED.add(u64::from(self.entries.try_send(line).is_err()));
    }

    /// Waits until all lines before it are written, or [`FLUSH_TIMEOUT`] is over.
    fn flush(&self) {
        let (done, written) = sync_channel(1);
        if self.entries.try_send(Entry::Flush(done)).is_ok() {
            let _ = written.recv_timeout(FLUSH_TIMEOUT);
        }
    }
}
