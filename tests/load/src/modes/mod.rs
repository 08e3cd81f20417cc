//! What is done to a server. Each mode is a `Handler` with the loop around it, and ends with its JSON.

mod events;
mod exchange;
mod fanout;
mod first_message;
mod handshakes;
mod hold;
mod ping;
mod slow;

use crate::args::{Mode, Options};
use crate::connection::Handler;
use crate::crowd::{Crowd, MOMENT};
use crate::failure::Failure;
use crate::json::Json;
use std::time::{Duration, Instant};

/// Handshakes in flight while connections are opened.
const OPENING: usize = 256;

/// Does what was asked for.
pub fn run(options: &Options) -> Result<Json, Failure> {
    match options.mode {
        Mode::Idle | Mode::Silent | Mode::Storm => hold::run(options),
        Mode::Echo | Mode::Pipelined => exchange::run(options),
        Mode::Handshake => handshakes::run(options),
        Mode::Fanout => fanout::run(options),
        Mode::Events => events::run(options),
        Mode::Ping => ping::run(options),
        Mode::Slow => slow::run(options),
    }
}

/// The JSON's begin, the same in every mode.
fn report(options: &Options, elapsed: Duration) -> Json {
    let mut json = Json::object();
    json.add("mode", options.mode.name());
    json.add("connections", options.connections);
    json.add("seconds", elapsed.as_secs_f64());
    json
}

/// How long rounds took.
fn summary(mut times: Vec<Duration>) -> Json {
    times.sort();
    let microseconds = |time: Duration| time.as_nanos() as f64 / 1e3;
    let mut json = Json::object();
    json.add("median", microseconds(times[times.len() / 2]));
    json.add("min", microseconds(times[0]));
    json.add("max", microseconds(times[times.len() - 1]));
    json
}

/// Handles what comes for so long.
fn go_on(crowd: &mut Crowd, handler: &mut impl Handler, time: Duration) -> Result<(), Failure> {
    let until = Instant::now() + time;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        crowd.step(left.min(MOMENT), handler)?;
    }
}
