use super::*;
use crate::test_server::{listen, serve, upgrade};
use serde_json::{Value, json};
use std::io::Read;

/// What a server does with the requests of a connection, given how many it has received.
type Answer = fn(usize, String, &mut Vec<String>) -> Vec<String>;

fn answer(request: &str) -> String {
    let request: Value = serde_json::from_str(request).unwrap();
    json!({ "jsonrpc": "2.0", "result": request["params"], "id": request["id"] }).to_string()
}

/// Runs three clients against a server, and returns what they observed and the number of their latencies.
fn run(answer: Answer) -> (Damage, usize) {
    let addr = listen(move |mut stream| {
        let (mut count, mut kept) = (0, Vec::new());
        upgrade(&mut stream);
        serve(&mut stream, |text| {
            count += 1;
            answer(count, text, &mut kept)
        });
    });
    let mut healthy = Healthy::connect(addr, 3, 100.0).unwrap();
    healthy.run(1, Duration::from_secs(1)).unwrap();
    let damage = healthy.settle_within(Duration::from_secs(1)).unwrap();
    (damage, healthy.samples(1).quantiles().count)
}

#[test]
fn every_request_is_answered_and_nothing_is_damaged() {
    let (damage, count) = run(|_, request, _| vec![answer(&request)]);
    assert_eq!(damage, Damage::default());
    assert!((290..=303).contains(&count), "{count}");
}

#[test]
fn answer_to_an_older_request_is_out_of_order() {
    let (damage, _) = run(|count, request, kept| match count {
        10 => {
            kept.push(request);
            Vec::new()
        }
        11 => vec![answer(&request), answer(&kept[0])],
        _ => vec![answer(&request)],
    });
    assert_eq!(damage, Damage { out_of_order: 6, ..Damage::default() });
}

#[test]
fn unanswered_requests_are_lost() {
    let (damage, _) = run(|count, request, _| if count < 50 { vec![answer(&request)] } else { Vec::new() });
    assert!(damage.lost >= 100 && damage.disconnected == 0 && damage.out_of_order == 0, "{damage:?}");
}

#[test]
fn ended_connection_is_counted_with_its_unanswered_requests() {
    let addr = listen(|mut stream| {
        upgrade(&mut stream);
        // The connection ends with the first request.
        let _ = stream.read_exact(&mut [0; 50]);
    });
    let mut healthy = Healthy::connect(addr, 3, 100.0).unwrap();
    healthy.run(0, Duration::from_millis(500)).unwrap();
    let damage = healthy.settle().unwrap();
    assert!(damage.disconnected == 3 && damage.lost >= 3 && damage.out_of_order == 0, "{damage:?}");
}

#[test]
fn stall_of_the_server_delays_all_requests_that_fall_into_it() {
    const STALL: Duration = Duration::from_millis(500);
    let addr = listen(|mut stream| {
        let mut count = 0;
        upgrade(&mut stream);
        serve(&mut stream, |request| {
            count += 1;
            if count == 10 {
                std::thread::sleep(STALL);
            }
            vec![answer(&request)]
        });
    });
    let mut healthy = Healthy::connect(addr, 1, 100.0).unwrap();
    healthy.run(0, Duration::from_secs(1)).unwrap();
    healthy.settle().unwrap();
    let quantiles = healthy.samples(0).quantiles();
    // Fifty requests fall into the stall: a client that waited for each answer would have one slow request.
    assert!(quantiles.max >= 450.0 && quantiles.p50 > 1.0, "{quantiles:?}");
}
