//! A JSON-RPC request read and answered, beside a tree of values.

use crate::contest::{Contender, Scores};
use aisopod_micro::rpc;
use std::hint::black_box;
use std::time::Instant;

const ROUNDS: usize = 15;
/// Bytes of requests in a turn.
const BYTES: usize = 4 * 1024 * 1024;

/// Compares a short request and a long one.
pub fn measure(scores: &mut Scores) {
    for (name, text) in [("short", rpc::SHORT.to_owned()), ("with params", rpc::long())] {
        let contenders = vec![
            Contender::new("envelope", || answer(rpc::by_envelope, &text)),
            Contender::new("serde_json::Value", || answer(rpc::by_values, &text)),
        ];
        scores.contest(format!("envelope: {name}, {} bytes", text.len()), "ns", ROUNDS, contenders);
    }
}

fn answer(by: fn(&str) -> String, text: &str) -> f64 {
    let requests = BYTES / text.len();
    let began = Instant::now();
    for _ in 0..requests {
        black_box(by(black_box(text)));
    }
    began.elapsed().as_secs_f64() * 1e9 / requests as f64
}
