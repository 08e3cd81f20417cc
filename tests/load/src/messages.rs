//! What is sent, built once, and whether the answers to it are right.

use crate::failure::Failure;
use crate::frame::{MASK, Part, TEXT, client_frame};
use std::ops::Range;

/// Ids have so many digits, always: a request of another id has the same length.
const ID_DIGITS: usize = 10;
/// The first id.
pub const FIRST_ID: u64 = 1_000_000_000;
/// The first byte of a text that the server sends to everybody.
const BROADCAST: u8 = b'!';

/// A text of this size that no shifted or swapped piece of it equals by chance.
pub fn text(size: usize) -> Vec<u8> {
    (0..size).map(|index| b'a' + ((index + index / 23) % 26) as u8).collect()
}

/// A text of this size that the server is to send to everybody.
pub fn broadcast(size: usize) -> Vec<u8> {
    let mut text = text(size);
    text[0] = BROADCAST;
    text
}

/// Messages for one write, and what they hold.
pub struct Batch {
    /// All frames, masked.
    frames: Vec<u8>,
    /// Of one frame.
    length: usize,
    /// Where in a frame the id's digits are.
    id: Option<Range<usize>>,
    /// The mask's byte at the id's first digit.
    phase: usize,
    expected: Expected,
}

impl Batch {
    /// So many raw texts of this size, or JSON-RPC requests of at least it.
    pub fn new(count: usize, size: usize, rpc: bool) -> Batch {
        if !rpc {
            let payload = text(size);
            return Batch::of(count, &payload, None, Expected::Text(payload.clone()));
        }
        let head = format!("{{\"jsonrpc\":\"2.0\",\"id\":{FIRST_ID},\"method\":\"gateway.echo\",\"params\":[\"");
        let padding = vec![b'x'; size.saturating_sub(head.len() + 3).max(1)];
        let payload = [head.as_bytes(), &padding, b"\"]}"].concat();
        let id = head.find(&FIRST_ID.to_string());
        let result = [b"\"result\":[\"", &padding[..], b"\"]"].concat();
        Batch::of(count, &payload, id, Expected::Result { result, length: None })
    }

    fn of(count: usize, payload: &[u8], id: Option<usize>, expected: Expected) -> Batch {
        let frame = client_frame(TEXT, payload);
        let header = frame.len() - payload.len();
        Batch {
            length: frame.len(),
            frames: frame.repeat(count),
            id: id.map(|at| header + at..header + at + ID_DIGITS),
            phase: id.unwrap_or(0) % MASK.len(),
            expected,
        }
    }

    /// The frames, whose ids count up from this one if they have any.
    pub fn frames(&mut self, first_id: u64) -> &[u8] {
        if let Some(id) = &self.id {
            for (number, frame) in (first_id..).zip(self.frames.chunks_exact_mut(self.length)) {
                let mut rest = number;
                for (index, digit) in frame[id.clone()].iter_mut().enumerate().rev() {
                    *digit = (b'0' + (rest % 10) as u8) ^ MASK[(self.phase + index) % MASK.len()];
                    rest /= 10;
                }
            }
        }
        &self.frames
    }

    /// Takes a piece of an answer; true when it was the last one, and the answer right.
    pub fn check(&mut self, answers: &mut Answers, part: Part<'_>) -> Result<bool, Failure> {
        if !part.text {
            return Err(Failure::Run("the answer is a binary message".to_owned()));
        }
        match &mut self.expected {
            Expected::Text(text) => check_text(text, answers, part)?,
            Expected::Result { result, length } => check_result(result, length, answers, part)?,
        }
        if part.last {
            answers.seen = true;
            answers.next_id += 1;
        }
        Ok(part.last)
    }
}

enum Expected {
    /// The same text.
    Text(Vec<u8>),
    /// A JSON-RPC response with this member, and as long as the first one.
    Result { result: Vec<u8>, length: Option<usize> },
}

/// How far the answers on one connection have come.
#[derive(Default)]
pub struct Answers {
    /// The id that the next one has; they come in the order of the requests.
    pub next_id: u64,
    /// One has come: its content was compared.
    seen: bool,
    /// The begin of an answer that comes in pieces, if its id is looked for.
    begun: Vec<u8>,
}

impl Answers {
    /// None yet, and the next one has this id.
    pub fn from_id(next_id: u64) -> Answers {
        Answers { next_id, ..Answers::default() }
    }
}

/// The length always, the content of the first one.
fn check_text(text: &[u8], answers: &Answers, part: Part<'_>) -> Result<(), Failure> {
    let end = part.offset + part.bytes.len() as u64;
    if end > text.len() as u64 || (part.last && end != text.len() as u64) {
        let least = if part.last { "" } else { "at least " };
        return Err(Failure::Run(format!("the answer has {least}{end} bytes instead of {}", text.len())));
    }
    if !answers.seen && text[part.offset as usize..end as usize] != *part.bytes {
        return Err(Failure::Run(format!("the answer differs from what was sent: {}", excerpt(part.bytes))));
    }
    Ok(())
}

/// The id and the length always, the content of the first one.
fn check_result(
    result: &[u8],
    length: &mut Option<usize>,
    answers: &mut Answers,
    part: Part<'_>,
) -> Result<(), Failure> {
    if part.offset == 0 && part.last {
        return check_response(result, length, answers.next_id, answers.seen, part.bytes);
    }
    answers.begun.extend_from_slice(part.bytes);
    if !part.last {
        return Ok(());
    }
    let whole = std::mem::take(&mut answers.begun);
    check_response(result, length, answers.next_id, answers.seen, &whole)
}

fn check_response(
    result: &[u8],
    length: &mut Option<usize>,
    id: u64,
    seen: bool,
    response: &[u8],
) -> Result<(), Failure> {
    let wrong = |what: &str| Err(Failure::Run(format!("{what}: {}", excerpt(response))));
    if !seen && !response.windows(result.len()).any(|window| window == result) {
        return wrong("the response doesn't hold the params");
    }
    if *length.get_or_insert(response.len()) != response.len() {
        return wrong("the response is longer or shorter than the first one");
    }
    if id_of(response) != Some(id) {
        return wrong(&format!("the response isn't the one to the request {id}"));
    }
    Ok(())
}

/// The number behind `"id":`, which a server writes before or after everything else.
fn id_of(response: &[u8]) -> Option<u64> {
    const NAME: &[u8] = b"\"id\":";
    /// As far from the begin or the end as an id may be.
    const EDGE: usize = 64;
    let after = |edge: &[u8]| {
        let at = edge.windows(NAME.len()).position(|window| window == NAME)?;
        let digits = edge[at + NAME.len()..].iter().take_while(|byte| byte.is_ascii_digit());
        Some(digits.fold(0_u64, |number, digit| number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'))))
    };
    let end = response.len().saturating_sub(EDGE);
    after(&response[end..]).or_else(|| after(&response[..EDGE.min(response.len())]))
}

fn excerpt(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(120)]).into_owned()
}

#[cfg(test)]
mod tests;
