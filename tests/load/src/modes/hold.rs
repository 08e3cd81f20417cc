//! Idle, silent, storm: connections are opened and held; what they cost in memory, and what stays when they have gone.

use super::ping::Quiet;
use super::{OPENING, first_message, go_on, report};
use crate::args::{Mode, Options};
use crate::crowd::{Crowd, MOMENT};
use crate::failure::Failure;
use crate::json::Json;
use crate::process;
use crate::span::Span;
use std::time::{Duration, Instant};

/// Memory is looked at this often,
const LOOK: Duration = Duration::from_millis(100);
/// has settled once it was the same for so long,
const SAME: Duration = Duration::from_secs(1);
/// and is taken as it is after this.
const LONGEST_SETTLING: Duration = Duration::from_secs(15);

/// Opens all, measures, leaves, measures again. The measured part is the opening in a storm, else the holding.
pub fn run(options: &Options) -> Result<Json, Failure> {
    let storm = options.mode == Mode::Storm;
    let mut crowd = Crowd::new(options, options.connections)?;
    let mut quiet = Quiet::default();
    let before = settle(&mut crowd, &mut quiet, &options.pids)?;
    let span = if storm { Some(Span::begin(options)?) } else { None };
    let opened_in = open(&mut crowd, &mut quiet, options)?;
    let opening = span.map(Span::end).transpose()?;
    let opened = crowd.tally.open;
    exchange_first(&mut crowd, options)?;
    let during = settle(&mut crowd, &mut quiet, &options.pids)?;
    let when_measured = crowd.tally.open;
    let measured = match opening {
        Some(opening) => {
            go_on(&mut crowd, &mut quiet, options.seconds)?;
            opening
        }
        None => {
            let span = Span::begin(options)?;
            go_on(&mut crowd, &mut quiet, options.seconds)?;
            span.end()?
        }
    };
    let mut json = report(options, if storm { opened_in } else { measured.elapsed });
    json.add("opened", opened);
    json.add("opened_in_seconds", opened_in.as_secs_f64());
    json.add("open_when_measured", when_measured);
    json.add("open_at_the_end", crowd.tally.open);
    json.add("failures", quiet.losses.total());
    json.add("losses", quiet.losses.to_json());
    json.add("pings", crowd.tally.pings);
    json.add("message", options.message);
    crowd.leave();
    let after = settle(&mut crowd, &mut quiet, &options.pids)?;
    let mut resident = vec![("open", "", during), ("after_leaving", "_after_leaving", after)];
    if options.again {
        open(&mut crowd, &mut quiet, options)?;
        exchange_first(&mut crowd, options)?;
        resident.push(("again", "_again", settle(&mut crowd, &mut quiet, &options.pids)?));
    }
    add_memory(&mut json, before, &resident, opened);
    measured.add_to(&mut json, storm.then_some(("handshake", opened as u64)));
    Ok(json)
}

/// Adds resident bytes, in all and for each connection.
fn add_memory(json: &mut Json, before: Option<u64>, resident: &[(&str, &str, Option<u64>)], opened: usize) {
    json.add("resident_bytes_before", before);
    for (name, suffix, now) in resident {
        json.add(format!("resident_bytes_{name}"), *now);
        let each = now.zip(before).map(|(now, before)| (now as f64 - before as f64) / opened as f64);
        json.add(format!("resident_bytes_per_connection{suffix}"), each);
    }
}

/// Opens all; how long it took.
fn open(crowd: &mut Crowd, quiet: &mut Quiet, options: &Options) -> Result<Duration, Failure> {
    let at_once = if options.mode == Mode::Storm { usize::MAX } else { OPENING };
    let earlier = quiet.losses.unopened();
    let began = Instant::now();
    crowd.open_all(0..options.connections, at_once, quiet)?;
    let elapsed = began.elapsed();
    if options.mode != Mode::Storm {
        quiet.losses.all_opened(earlier)?;
    } else if crowd.tally.open == 0 {
        return Err(Failure::Run(format!("no connection opened: {}", quiet.losses.to_json())));
    }
    Ok(elapsed)
}

fn exchange_first(crowd: &mut Crowd, options: &Options) -> Result<(), Failure> {
    options.message.map_or(Ok(()), |size| first_message::exchange(crowd, options, size))
}

/// The server's resident memory once it has stopped changing; pings are answered meanwhile.
fn settle(crowd: &mut Crowd, quiet: &mut Quiet, pids: &[u32]) -> Result<Option<u64>, Failure> {
    if pids.is_empty() {
        return Ok(None);
    }
    let began = Instant::now();
    let (mut last, mut since) = (process::resident(pids)?, began);
    while since.elapsed() < SAME {
        if began.elapsed() > LONGEST_SETTLING {
            eprintln!("memory still changes after {LONGEST_SETTLING:?}");
            break;
        }
        go_on(crowd, quiet, LOOK.max(MOMENT))?;
        let now = process::resident(pids)?;
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    Ok(Some(last))
}
