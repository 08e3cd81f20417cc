//! What peers do after an upgrade.

use super::survives;
use crate::common::Gateway;
use crate::common::raw_client::RawClient;
use crate::common::wait_until;
use std::io::Write;
use test_support::frames::{CONTINUATION, FIN, PING, PONG, TEXT, client_frame, encode_header};

/// A request whose params are this JSON string.
fn echo(text: &[u8]) -> Vec<u8> {
    [br#"{"jsonrpc":"2.0","id":1,"method":"gateway.echo","params":[""#, text, br#""]}"#].concat()
}

#[test]
fn text_cut_at_every_byte_is_valid_exactly_if_the_whole_is() {
    let valid = echo("κόσμε 𝄞 €".as_bytes());
    let invalid =
        [echo(b"\xce\xba\xe1\xbd\xb9\xff"), echo(b"\xed\xa0\x80"), echo(b"\xf4\x90\x80\x80"), echo(b"\xc0\xaf")];
    survives("", |gateway| {
        let mut client = RawClient::connect(gateway);
        for cut in 0..=valid.len() {
            client.send(&client_frame(TEXT, &valid[..cut]));
            client.send(&client_frame(FIN | CONTINUATION, &valid[cut..]));
            let (_, answer) = client.receive().expect("an answer");
            assert_eq!(answer, r#"{"jsonrpc":"2.0","result":["κόσμε 𝄞 €"],"id":1}"#.as_bytes(), "cut at {cut}");
        }
        for text in &invalid {
            for cut in 0..=text.len() {
                let mut client = RawClient::connect(gateway);
                let frames = [client_frame(TEXT, &text[..cut]), client_frame(FIN | CONTINUATION, &text[cut..])];
                client.send(&frames.concat());
                assert_eq!(client.wait_for_close(), Some((1007, "invalid_payload".to_owned())), "cut at {cut}");
            }
        }
    });
}

#[test]
fn endless_fragments_end_at_the_limit_and_empty_ones_are_served() {
    survives("[limits]\nmax_message_bytes = 10000", |gateway| {
        let mut client = RawClient::connect(gateway);
        let byte = client_frame(CONTINUATION, b"x");
        client.send(&[client_frame(TEXT, b"x"), byte.repeat(10_000)].concat());
        assert_eq!(client.wait_for_close(), Some((1009, "message_too_big".to_owned())));
        let mut client = RawClient::connect(gateway);
        let request = echo(b"x");
        client.send(&client_frame(TEXT, &request));
        for _ in 0..100 {
            client.send(&client_frame(CONTINUATION, b"").repeat(1000));
        }
        client.send(&client_frame(FIN | CONTINUATION, b""));
        assert_eq!(client.receive().expect("an answer").1, br#"{"jsonrpc":"2.0","result":["x"],"id":1}"#);
    });
}

#[test]
fn announced_lengths_hold_no_memory() {
    survives("", |gateway| {
        let (header, length) = encode_header(FIN | TEXT, 0x80, 1_000_000);
        let header = [&header[..length], &[0; 4]].concat();
        let mut clients: Vec<_> = (0..300).map(|_| RawClient::connect(gateway)).collect();
        clients.iter_mut().for_each(|client| client.send(&[&header[..], b"x"].concat()));
        gateway.wait_for_clients(301);
        let status = gateway.wait_for_status("the bytes are read", |status| {
            status["bytes"]["in"].as_u64() >= Some(300 * (header.len() as u64 + 1))
        });
        // 4 KiB for each, and the header of this request.
        assert!(status["memory"]["held_bytes"].as_u64() <= Some(300 * 5000 + 16_384), "{status:#}");
    });
}

#[test]
fn floods_of_pings_and_pongs_hold_no_memory() {
    survives("", |gateway| {
        for frame in [client_frame(FIN | PONG, &[b'x'; 125]), client_frame(FIN | PING, &[b'x'; 125])] {
            let mut client = RawClient::connect(gateway);
            let mut reader = client.stream.try_clone().unwrap();
            // The answers to the pings are read, but not looked at.
            let reading = std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
            for _ in 0..200 {
                client.send(&frame.repeat(1000));
            }
            assert!(gateway.status()["memory"]["held_bytes"].as_u64() < Some(1_000_000));
            client.stream.shutdown(std::net::Shutdown::Both).unwrap();
            let _ = reading.join().unwrap();
        }
    });
}

#[test]
fn client_that_reads_a_byte_at_a_time_is_served_and_one_that_never_closes_is_dropped() {
    survives("[limits]\nclose_timeout = \"500ms\"", |gateway| {
        let mut slow = RawClient::connect(gateway);
        slow.send(&client_frame(FIN | TEXT, &echo(&[b'x'; 2000])));
        let mut received = Vec::new();
        wait_until("the answer", || {
            let mut byte = [0];
            std::io::Read::read_exact(&mut slow.stream, &mut byte).unwrap();
            received.push(byte[0]);
            received.ends_with(br#""],"id":1}"#)
        });
        // It answers the close frame neither with one of its own nor by closing.
        let kept = RawClient::connect(gateway);
        gateway.wait_for_clients(3);
        drop(slow);
        let mut writer = kept.stream.try_clone().unwrap();
        writer.write_all(&client_frame(FIN | 0x3, b"invalid")).unwrap();
        gateway.wait_for_clients(1);
        drop(kept);
    });
}

#[test]
fn random_bytes_after_the_upgrade_close_only_their_client() {
    // A linear congruential generator, so that a failure is repeated.
    let mut state = 1_u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    survives("[limits]\nmax_message_bytes = 1000\nclose_timeout = \"500ms\"", |gateway: &Gateway| {
        for _ in 0..300 {
            let mut client = RawClient::connect(gateway);
            let bytes: Vec<u8> = (0..500).map(|_| random()).collect();
            // The gateway may have closed the connection already.
            let _ = client.stream.write_all(&bytes);
        }
    });
}
