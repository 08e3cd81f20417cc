//! System calls for each message. They cost more than everything that the gateway does between them.

use crate::bound::assert_at_most;
use crate::clients::{answer_pings, broadcast, connect_all, echo, echo_interleaved, echo_pipelined};
use crate::serve::Snapshot;
use crate::strace::{SystemCalls, TracedServer};
use std::time::Duration;

const SMALL: usize = 64;
/// Other calls between two snapshots. At most one was recorded: a futex of the measurement, or growth of the heap.
const OTHERS: usize = 10;

/// Bounds on the calls of each kind.
struct MaxCalls {
    sends: usize,
    receives: usize,
    waits: usize,
}

impl MaxCalls {
    fn assert(&self, what: &str, calls: &SystemCalls) {
        // Zero means that the log wasn't understood.
        assert!(calls.sends > 0 && calls.receives > 0 && calls.waits > 0, "{what}: {calls:?}");
        let assert =
            |bound: usize, kind: &str, count| assert_at_most(bound as f64, &format!("{what}: {kind}"), count as f64);
        assert(self.sends, "sends", calls.sends);
        assert(self.receives, "receives", calls.receives);
        assert(self.waits, "waits", calls.waits);
        let examples = &calls.others[..calls.others.len().min(20)];
        assert(OTHERS, &format!("others, such as {examples:?}"), calls.others.len());
    }
}

#[test]
fn echo_takes_one_call_of_each_kind_and_delivery_one_send() {
    const ECHOES: usize = 2_000;
    const SEVERAL: usize = 50;
    const BATCH: usize = 16;
    const BATCHES: usize = 100;
    const CLIENTS: usize = 100;
    const BROADCASTS: usize = 20;
    let Some(mut traced) = TracedServer::start(None) else { return };
    let server = &mut traced.server;
    let mut clients = connect_all(server, CLIENTS);
    echo(&mut clients, SMALL, 2);
    broadcast(&mut clients, SMALL, 2);
    let mut snapshots = vec![server.snapshot()];
    echo(&mut clients[..1], SMALL, ECHOES);
    snapshots.push(server.snapshot());
    echo_interleaved(&mut clients[..SEVERAL], SMALL, ECHOES / SEVERAL);
    snapshots.push(server.snapshot());
    echo_pipelined(&mut clients[0], SMALL, BATCH, BATCHES);
    snapshots.push(server.snapshot());
    broadcast(&mut clients, SMALL, BROADCASTS);
    snapshots.push(server.snapshot());
    let trace = traced.stop();

    let calls = |index: usize| trace.between(&snapshots[index], &snapshots[index + 1]);
    // `n` calls of each kind; for waits 1 % more are allowed, because of other events.
    let each = |n: usize| MaxCalls { sends: n, receives: n, waits: n + n.div_ceil(100) };
    each(ECHOES).assert(&format!("{ECHOES} echoes, 1 client"), &calls(0));
    // One wait may return several messages; 34 to 51 waits were recorded.
    each(ECHOES).assert(&format!("{ECHOES} echoes, {SEVERAL} clients"), &calls(1));
    each(BATCHES).assert(&format!("{BATCHES} times {BATCH} echoes of messages in one write"), &calls(2));
    let deliveries = MaxCalls { sends: BROADCASTS * CLIENTS, ..each(BROADCASTS) };
    deliveries.assert(&format!("{BROADCASTS} broadcasts to {CLIENTS} clients"), &calls(3));
}

#[test]
fn ping_and_pong_take_one_call_of_each_kind() {
    const CLIENTS: usize = 50;
    let Some(mut traced) = TracedServer::start(Some(Duration::from_secs(6))) else { return };
    let server = &mut traced.server;
    let mut clients = connect_all(server, CLIENTS);
    let before = server.snapshot();
    answer_pings(&mut clients, 1);
    let after = server.snapshot();
    let trace = traced.stop();

    // At a snapshot one more ping and pong may have passed the socket without being counted yet.
    let counter = |snapshot: &Snapshot, what| snapshot.status["heartbeat"][what].as_u64().expect("a number");
    let count = |what| (counter(&after, what) - counter(&before, what) + 1) as usize;
    let (pings, pongs) = (count("pings_sent"), count("pongs_received"));
    let max = MaxCalls { sends: pings, receives: pongs, waits: pongs };
    max.assert(&format!("pings to {CLIENTS} clients and their pongs"), &trace.between(&before, &after));
}
