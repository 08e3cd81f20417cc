//! Slow readers: connections that send and don't read, beside one that does and whose latency shows whether it suffers.

use super::{OPENING, report};
use crate::args::Options;
use crate::connection::Handler;
use crate::crowd::{Crowd, MOMENT};
use crate::failure::Failure;
use crate::frame::{Part, TEXT, client_frame};
use crate::histogram::Histogram;
use crate::json::Json;
use crate::losses::{End, Losses};
use crate::messages::{self, Answers, Batch, FIRST_ID};
use crate::patience::Patience;
use crate::peer::Peer;
use crate::process;
use crate::span::Span;
use std::time::{Duration, Instant};

/// What a slow reader's kernel takes in its stead; the kernel doubles it.
const RECEIVE_BUFFER: usize = 4096;
/// How often a slow reader sends, and memory is looked at.
const TURN: Duration = Duration::from_millis(10);
/// At the end everything is read, until nothing has come for so long.
const QUIET: Duration = Duration::from_secs(1);
/// And for no longer than this, as a server may have much to say.
const LONGEST_READING: Duration = Duration::from_secs(10);

/// Opens all, lets them be slow, and reads everything at the end to see who was closed.
pub fn run(options: &Options) -> Result<Json, Failure> {
    let (slow, healthy) = (options.connections, options.connections);
    let mut crowd = Crowd::new(options, slow + 1)?;
    let mut readers = Slow::new(options, healthy);
    crowd.receive_buffer = Some(RECEIVE_BUFFER);
    crowd.open_all(0..slow, OPENING, &mut readers)?;
    crowd.receive_buffer = None;
    crowd.open_all(healthy..healthy + 1, 1, &mut readers)?;
    readers.losses.all_opened(0)?;
    let before = process::resident(&options.pids)?;
    let span = Span::begin(options)?;
    readers.stall(&mut crowd, options, span.began())?;
    let (round_trips, closed_unread) = (readers.latencies.count(), readers.losses.total());
    let after = process::resident(&options.pids)?;
    let measured = span.end()?;
    readers.read_everything(&mut crowd)?;
    let mut json = report(options, measured.elapsed);
    json.add("size", options.size);
    json.add("rpc", options.rpc);
    json.add("fanout", options.fanout);
    json.add("bytes_offered_by_slow", readers.offered);
    json.add("slow_closed_while_not_reading", closed_unread);
    json.add("slow_closed", readers.losses.total());
    json.add("losses", readers.losses.to_json());
    json.add("healthy_round_trips", round_trips);
    json.add("healthy_latency_microseconds", readers.latencies.to_json());
    let growth = |now: u64| (!options.pids.is_empty()).then(|| now as i64 - before as i64);
    json.add("resident_bytes_growth", growth(after));
    json.add("resident_bytes_growth_at_most", growth(readers.most_resident.max(after)));
    measured.add_to(&mut json, None);
    Ok(json)
}

struct Slow {
    /// What the slow ones send, and what the healthy one sends and waits for.
    batch: Batch,
    probe: Batch,
    /// A broadcast, in place of both.
    broadcast: Option<(Vec<u8>, usize)>,
    healthy: usize,
    answers: Answers,
    sent_at: Option<Instant>,
    latencies: Histogram,
    losses: Losses,
    next_id: u64,
    offered: u64,
    most_resident: u64,
}

impl Slow {
    fn new(options: &Options, healthy: usize) -> Slow {
        let text = messages::broadcast(options.size);
        Slow {
            batch: Batch::new(options.depth, options.size, options.rpc),
            probe: Batch::new(1, 64, options.rpc),
            broadcast: options.fanout.then(|| (client_frame(TEXT, &text), text.len())),
            healthy,
            answers: Answers::default(),
            sent_at: None,
            latencies: Histogram::new(),
            losses: Losses::default(),
            next_id: FIRST_ID,
            offered: 0,
            most_resident: 0,
        }
    }

    /// The slow ones send as much as the server takes, and read nothing.
    fn stall(&mut self, crowd: &mut Crowd, options: &Options, began: Instant) -> Result<(), Failure> {
        let mut patience = Patience::new(options.patience);
        for id in 0..self.healthy {
            if let Some(mut peer) = crowd.peer(id) {
                peer.set_deaf(true)?;
            }
        }
        self.send_probe(crowd)?;
        let mut turn = began;
        while began.elapsed() < options.seconds {
            if turn.elapsed() >= TURN {
                turn = Instant::now();
                self.send_more(crowd)?;
                self.most_resident = self.most_resident.max(process::resident(&options.pids)?);
            }
            crowd.step(MOMENT.min(TURN), self)?;
            if self.sent_at.is_none() {
                self.send_probe(crowd)?;
            }
            patience.check(self.latencies.count(), || "an answer on the connection that reads".to_owned())?;
        }
        Ok(())
    }

    /// One more batch on each slow connection that has none left to send.
    fn send_more(&mut self, crowd: &mut Crowd) -> Result<(), Failure> {
        if self.broadcast.is_some() {
            return Ok(());
        }
        for id in 0..self.healthy {
            let Some(mut peer) = crowd.peer(id).filter(Peer::is_flushed) else { continue };
            let frames = self.batch.frames(self.next_id);
            peer.send(frames)?;
            self.offered += frames.len() as u64;
        }
        Ok(())
    }

    fn send_probe(&mut self, crowd: &mut Crowd) -> Result<(), Failure> {
        let lost = || Failure::Run("the connection that reads is lost".to_owned());
        let mut peer = crowd.peer(self.healthy).ok_or_else(lost)?;
        self.sent_at = Some(peer.now);
        if let Some((frame, _)) = &self.broadcast {
            return peer.send(frame);
        }
        self.answers.next_id = self.next_id;
        self.next_id += 1;
        peer.send(self.probe.frames(self.answers.next_id))
    }

    /// Who was closed without noticing notices now.
    fn read_everything(&mut self, crowd: &mut Crowd) -> Result<(), Failure> {
        for id in 0..self.healthy {
            if let Some(mut peer) = crowd.peer(id) {
                peer.set_deaf(false)?;
            }
        }
        let began = Instant::now();
        let (mut bytes, mut since) = (crowd.tally.bytes, began);
        while since.elapsed() < QUIET && began.elapsed() < LONGEST_READING {
            crowd.step(MOMENT, self)?;
            if crowd.tally.bytes != bytes {
                (bytes, since) = (crowd.tally.bytes, Instant::now());
            }
        }
        Ok(())
    }
}

impl Handler for Slow {
    fn data(&mut self, peer: &mut Peer<'_>, part: Part<'_>) -> Result<(), Failure> {
        if peer.id != self.healthy {
            return Ok(());
        }
        let whole = match &self.broadcast {
            Some((_, length)) if part.last && part.offset + part.bytes.len() as u64 != *length as u64 => {
                return Err(Failure::Run("the broadcast isn't as long as what was sent".to_owned()));
            }
            Some(_) => part.last,
            None => self.probe.check(&mut self.answers, part)?,
        };
        if whole && let Some(sent_at) = self.sent_at.take() {
            self.latencies.record(peer.now - sent_at);
        }
        Ok(())
    }

    fn ended(&mut self, id: usize, end: &End) -> Result<(), Failure> {
        if id == self.healthy {
            return Err(Failure::Run(format!("the connection that reads: {end}")));
        }
        self.losses.count(id, end);
        Ok(())
    }
}
