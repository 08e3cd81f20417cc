//! Connections that only answer pings.

use super::{OPENING, go_on, report};
use crate::args::Options;
use crate::connection::Handler;
use crate::crowd::Crowd;
use crate::failure::Failure;
use crate::frame::Part;
use crate::json::Json;
use crate::losses::{End, Losses};
use crate::peer::Peer;
use crate::span::Span;

/// Opens, then waits.
pub fn run(options: &Options) -> Result<Json, Failure> {
    let mut crowd = Crowd::new(options, options.connections)?;
    let mut quiet = Quiet::default();
    crowd.open_all(0..options.connections, OPENING, &mut quiet)?;
    quiet.losses.all_opened(0)?;
    let before = crowd.tally.pings;
    let span = Span::begin(options)?;
    go_on(&mut crowd, &mut quiet, options.seconds)?;
    let measured = span.end()?;
    let pings = crowd.tally.pings - before;
    let mut json = report(options, measured.elapsed);
    json.add("pings", pings);
    json.add("pings_per_second", pings as f64 / measured.elapsed.as_secs_f64());
    json.add("lost", quiet.losses.total());
    json.add("losses", quiet.losses.to_json());
    measured.add_to(&mut json, Some(("ping", pings)));
    Ok(json)
}

/// Wants nothing of its connections, and counts those that end.
#[derive(Default)]
pub struct Quiet {
    /// Those.
    pub losses: Losses,
}

impl Handler for Quiet {
    fn data(&mut self, _peer: &mut Peer<'_>, _part: Part<'_>) -> Result<(), Failure> {
        Ok(())
    }

    fn ended(&mut self, id: usize, end: &End) -> Result<(), Failure> {
        self.losses.count(id, end);
        Ok(())
    }
}
