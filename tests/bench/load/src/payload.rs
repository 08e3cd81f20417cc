//! The messages of echo mode, built once, and the check of the replies to them.

use crate::failure::Failure;
use crate::handshake::find;
use std::borrow::Cow;
use std::ops::Range;
use test_support::frames::{FIN, MASKING_KEY, TEXT, client_frame};

/// Digits of an ID: all requests have the same length.
const ID_DIGITS: usize = 10;
/// ID of the first request.
pub const FIRST_ID: u64 = 1_000_000_000;

/// A text of this size without a short period, so that a shifted or reordered copy differs from it.
pub fn text(size: usize) -> Vec<u8> {
    (0..size).map(|index| b'a' + ((index + index / 23) % 26) as u8).collect()
}

/// The messages of one write, and the reply that each must get.
pub struct Batch {
    frames: Vec<u8>,
    frame_len: usize,
    /// Position of the ID's digits in a frame.
    id: Option<Range<usize>>,
    /// Index of the mask byte that applies to the ID's first digit.
    mask_index: usize,
    expected: Expected,
}

enum Expected {
    Text(Vec<u8>),
    /// A JSON-RPC response that contains `result` and is as long as the first one.
    Response {
        result: Vec<u8>,
        length: Option<usize>,
    },
}

impl Batch {
    /// `count` texts of this size.
    pub fn of_texts(count: usize, size: usize) -> Batch {
        let payload = text(size);
        Batch::new(count, &payload, None, Expected::Text(payload.clone()))
    }

    /// `count` JSON-RPC requests of this size, or of the shortest possible one.
    pub fn of_requests(count: usize, size: usize) -> Batch {
        let head = format!("{{\"jsonrpc\":\"2.0\",\"id\":{FIRST_ID},\"method\":\"gateway.echo\",\"params\":[\"");
        let padding = vec![b'x'; size.saturating_sub(head.len() + 3).max(1)];
        let payload = [head.as_bytes(), &padding, b"\"]}"].concat();
        let id = head.find(&FIRST_ID.to_string());
        let result = [b"\"result\":[\"", &padding[..], b"\"]"].concat();
        Batch::new(count, &payload, id, Expected::Response { result, length: None })
    }

    fn new(count: usize, payload: &[u8], id: Option<usize>, expected: Expected) -> Batch {
        let frame = client_frame(FIN | TEXT, payload);
        let header = frame.len() - payload.len();
        Batch {
            frame_len: frame.len(),
            frames: frame.repeat(count),
            id: id.map(|at| header + at..header + at + ID_DIGITS),
            mask_index: id.unwrap_or(0) % MASKING_KEY.len(),
            expected,
        }
    }

    /// The frames. The IDs of requests count up from `first_id`.
    pub fn frames(&mut self, first_id: u64) -> &[u8] {
        if let Some(id) = &self.id {
            for (number, frame) in (first_id..).zip(self.frames.chunks_exact_mut(self.frame_len)) {
                let mut rest = number;
                for (index, digit) in frame[id.clone()].iter_mut().enumerate().rev() {
                    *digit = (b'0' + (rest % 10) as u8) ^ MASKING_KEY[(self.mask_index + index) % MASKING_KEY.len()];
                    rest /= 10;
                }
            }
        }
        &self.frames
    }

    /// Checks the reply to the request with this ID: length and ID always, the content if it is the connection's first.
    pub fn check(&mut self, reply: &[u8], id: u64, is_first: bool) -> Result<(), Failure> {
        let fail = |what: String| Err(Failure::of(what, excerpt(reply)));
        match &mut self.expected {
            Expected::Text(text) if text.len() != reply.len() => {
                fail(format!("the reply has {} bytes instead of {}", reply.len(), text.len()))
            }
            Expected::Text(text) if is_first && text != reply => fail("the reply differs from the message".to_owned()),
            Expected::Text(_) => Ok(()),
            Expected::Response { result, length } => {
                if is_first && find(reply, result).is_none() {
                    return fail("the response doesn't contain the params".to_owned());
                }
                if *length.get_or_insert(reply.len()) != reply.len() {
                    return fail("the response differs in length from the first one".to_owned());
                }
                if response_id(reply) != Some(id) {
                    return fail(format!("not the response to request {id}"));
                }
                Ok(())
            }
        }
    }
}

/// The ID of a response, which a server writes as its first or last member.
fn response_id(response: &[u8]) -> Option<u64> {
    /// Distance from either end within which the ID is looked for.
    const EDGE: usize = 64;
    let end = response.len().saturating_sub(EDGE);
    number_after(&response[end..], b"\"id\":")
        .or_else(|| number_after(&response[..EDGE.min(response.len())], b"\"id\":"))
}

/// The number that follows `name` in `bytes`.
pub fn number_after(bytes: &[u8], name: &[u8]) -> Option<u64> {
    let at = find(bytes, name)?;
    let digits = bytes[at + name.len()..].iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0_u64, |number, digit| number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'))))
}

/// The beginning of a message, for an error.
pub fn excerpt(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(&bytes[..bytes.len().min(120)])
}

#[cfg(test)]
mod tests;
