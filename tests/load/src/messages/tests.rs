//! Frames of every id, and answers of every kind.

use super::*;

/// What a server reads: the payloads of these frames.
fn payloads(frames: &[u8], count: usize) -> Vec<Vec<u8>> {
    let length = frames.len() / count;
    let unmask = |frame: &[u8]| {
        let header = match frame[1] & 0x7f {
            126 => 8,
            127 => 14,
            _ => 6,
        };
        let mask = &frame[header - 4..header];
        frame[header..].iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect()
    };
    frames.chunks(length).map(unmask).collect()
}

fn whole(bytes: &[u8]) -> Part<'_> {
    Part { bytes, offset: 0, last: true, text: true }
}

/// Checks these bytes as one answer, in two pieces at every place, then whole.
fn check(batch: &mut Batch, answers: impl Fn() -> Answers, bytes: &[u8]) -> Result<(), Failure> {
    for at in 0..bytes.len() {
        let (head, tail) = bytes.split_at(at);
        let mut answers = answers();
        assert!(!batch.check(&mut answers, Part { last: false, ..whole(head) })?);
        assert!(batch.check(&mut answers, Part { offset: at as u64, ..whole(tail) })?);
    }
    assert!(batch.check(&mut answers(), whole(bytes))?);
    Ok(())
}

#[test]
fn requests_count_up_and_are_as_long_as_wanted() {
    for size in [1, 64, 100, 125, 126, 127, 128, 129, 1000, 70_000] {
        let mut batch = Batch::new(3, size, true);
        for first in [FIRST_ID, FIRST_ID + 7, 9_999_999_990] {
            for (index, payload) in payloads(batch.frames(first), 3).iter().enumerate() {
                assert!(payload.len() >= size && (size < 100 || payload.len() == size), "{size}: {}", payload.len());
                let request: serde_json::Value = serde_json::from_slice(payload).unwrap();
                assert_eq!(request["id"], first + index as u64);
                assert_eq!(request["method"], "gateway.echo");
            }
        }
    }
}

#[test]
fn texts_are_as_long_as_wanted_and_no_broadcasts() {
    let mut batch = Batch::new(2, 70_000, false);
    assert_eq!(payloads(batch.frames(FIRST_ID), 2), vec![text(70_000); 2]);
    assert_ne!(text(1)[0], BROADCAST);
    assert_eq!(broadcast(5), [b"!", &text(5)[1..]].concat());
    // Neither a shift nor a swap goes unnoticed.
    assert_ne!(text(100)[..50], text(100)[26..76]);
    assert_ne!(text(8192)[..4096], text(8192)[4096..]);
}

#[test]
fn a_right_text_in_any_pieces() {
    let mut batch = Batch::new(1, 40, false);
    check(&mut batch, Answers::default, &text(40)).unwrap();
    for wrong in [text(39), text(41), broadcast(40), Vec::new()] {
        assert!(check(&mut batch, Answers::default, &wrong).is_err(), "{wrong:?}");
    }
    assert!(batch.check(&mut Answers::default(), Part { text: false, ..whole(&text(40)) }).is_err());
}

#[test]
fn only_the_first_text_is_compared_but_every_length_is() {
    let mut batch = Batch::new(1, 40, false);
    let mut answers = Answers::default();
    assert!(batch.check(&mut answers, whole(&text(40))).unwrap());
    assert!(batch.check(&mut answers, whole(&broadcast(40))).unwrap());
    assert!(batch.check(&mut answers, whole(&text(41))).is_err());
}

#[test]
fn a_right_response_with_its_id_first_or_last() {
    let request =
        serde_json::from_slice::<serde_json::Value>(&payloads(Batch::new(1, 200, true).frames(FIRST_ID), 1)[0]);
    let params = request.unwrap()["params"].to_string();
    let first = format!("{{\"id\":1000000005,\"jsonrpc\":\"2.0\",\"result\":{params}}}");
    let last = format!("{{\"jsonrpc\":\"2.0\",\"result\":{params},\"id\":1000000005}}");
    for right in [first, last] {
        let mut batch = Batch::new(1, 200, true);
        check(&mut batch, || Answers::from_id(1_000_000_005), right.as_bytes()).unwrap();
        let other = || Answers::from_id(1_000_000_006);
        assert!(check(&mut batch, other, right.as_bytes()).unwrap_err().to_string().contains("1000000006"));
        let longer = right.replace('}', " }");
        assert!(check(&mut batch, || Answers::from_id(1_000_000_005), longer.as_bytes()).is_err());
    }
    let error = b"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32601},\"id\":1000000005}";
    let mut batch = Batch::new(1, 200, true);
    let failure = check(&mut batch, || Answers::from_id(1_000_000_005), error).unwrap_err();
    assert!(failure.to_string().contains("-32601"), "{failure}");
}

#[test]
fn ids_count_up() {
    let mut batch = Batch::new(2, 1, true);
    let mut answers = Answers::from_id(FIRST_ID);
    for id in FIRST_ID..FIRST_ID + 3 {
        let response = format!("{{\"id\":{id},\"result\":[\"x\"]}}");
        assert!(batch.check(&mut answers, whole(response.as_bytes())).unwrap());
    }
}
