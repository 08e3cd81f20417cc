//! Requests with consecutive IDs, and correct and wrong replies.

use super::*;
use serde_json::Value;

/// The payloads of these frames.
fn payloads(frames: &[u8], count: usize) -> Vec<Vec<u8>> {
    let unmask = |frame: &[u8]| {
        let header = match frame[1] & 0x7f {
            126 => 8,
            127 => 14,
            _ => 6,
        };
        let mask = &frame[header - 4..header];
        frame[header..].iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect()
    };
    frames.chunks(frames.len() / count).map(unmask).collect()
}

#[test]
fn requests_have_consecutive_ids_and_the_requested_size() {
    for size in [1, 64, 100, 125, 126, 127, 128, 129, 1000, 70_000] {
        let mut batch = Batch::of_requests(3, size);
        for first in [FIRST_ID, FIRST_ID + 7, 9_999_999_990] {
            for (index, payload) in payloads(batch.frames(first), 3).iter().enumerate() {
                assert!(payload.len() >= size && (size < 100 || payload.len() == size), "{size}: {}", payload.len());
                let request: Value = serde_json::from_slice(payload).unwrap();
                assert_eq!(request["id"], first + index as u64);
                assert_eq!(request["method"], "gateway.echo");
            }
        }
    }
}

#[test]
fn texts_have_the_requested_size() {
    let mut batch = Batch::of_texts(2, 70_000);
    assert_eq!(payloads(batch.frames(FIRST_ID), 2), vec![text(70_000); 2]);
    assert_ne!(text(100)[..50], text(100)[26..76]);
    assert_ne!(text(8192)[..4096], text(8192)[4096..]);
}

#[test]
fn first_text_is_compared_and_every_length_is_checked() {
    let mut batch = Batch::of_texts(1, 40);
    batch.check(&text(40), FIRST_ID, true).unwrap();
    batch.check(&[b'?'; 40], FIRST_ID, false).unwrap();
    for wrong in [text(39), text(41), vec![b'?'; 40], Vec::new()] {
        assert!(batch.check(&wrong, FIRST_ID, true).is_err(), "{wrong:?}");
    }
    assert!(batch.check(&text(41), FIRST_ID, false).is_err());
}

#[test]
fn response_is_accepted_with_its_id_first_or_last() {
    let request = payloads(Batch::of_requests(1, 200).frames(FIRST_ID), 1);
    let params = serde_json::from_slice::<Value>(&request[0]).unwrap()["params"].to_string();
    let first = format!("{{\"id\":1000000005,\"jsonrpc\":\"2.0\",\"result\":{params}}}");
    let last = format!("{{\"jsonrpc\":\"2.0\",\"result\":{params},\"id\":1000000005}}");
    for response in [first, last] {
        let mut batch = Batch::of_requests(1, 200);
        batch.check(response.as_bytes(), FIRST_ID + 5, true).unwrap();
        let failure = batch.check(response.as_bytes(), FIRST_ID + 6, false).unwrap_err();
        assert!(failure.to_string().contains("1000000006"), "{failure}");
        assert!(batch.check(response.replace('}', " }").as_bytes(), FIRST_ID + 5, false).is_err());
    }
    let error = b"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32601},\"id\":1000000005}";
    let failure = Batch::of_requests(1, 200).check(error, FIRST_ID + 5, true).unwrap_err();
    assert!(failure.to_string().contains("-32601"), "{failure}");
}
