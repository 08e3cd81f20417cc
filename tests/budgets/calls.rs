//! System calls for each message. They cost more than all that the gateway does between them.

use crate::bound::assert_at_most;
use crate::clients::{answer_pings, broadcast, connect_all, echo, echo_at_once, echo_pipelined};
use crate::serve::Stock;
use crate::strace::{Calls, Traced};
use std::time::Duration;

/// Bytes of a message.
const SMALL: usize = 64;
/// Calls beyond what is called for, in all that is done between two stocks. It was one when recorded, if any: a futex of
/// the counting itself, or the heap growing.
const OTHERS: usize = 10;

/// So many calls at the most.
struct Most {
    sends: usize,
    receives: usize,
    waits: usize,
}

impl Most {
    fn assert(&self, what: &str, calls: &Calls) {
        // Nothing at all: the log was not understood.
        assert!(calls.sends > 0 && calls.receives > 0 && calls.waits > 0, "{what}: {calls:?}");
        let assert =
            |most: usize, of: &str, counted| assert_at_most(most as f64, &format!("{what}: {of}"), counted as f64);
        assert(self.sends, "sends", calls.sends);
        assert(self.receives, "receives", calls.receives);
        assert(self.waits, "waits", calls.waits);
        let some = &calls.others[..calls.others.len().min(20)];
        assert(OTHERS, &format!("others, such as {some:?}"), calls.others.len());
    }
}

#[test]
fn an_echo_and_a_delivery() {
    const ECHOES: usize = 2_000;
    const MANY: usize = 50;
    const BATCH: usize = 16;
    const BATCHES: usize = 100;
    const EVERYBODY: usize = 100;
    const BROADCASTS: usize = 20;
    let Some(mut traced) = Traced::start(None) else { return };
    let server = &mut traced.server;
    let mut clients = connect_all(server, EVERYBODY);
    echo(&mut clients, SMALL, 2);
    broadcast(&mut clients, SMALL, 2);
    let mut stocks = vec![server.stock()];
    echo(&mut clients[..1], SMALL, ECHOES);
    stocks.push(server.stock());
    echo_at_once(&mut clients[..MANY], SMALL, ECHOES / MANY);
    stocks.push(server.stock());
    echo_pipelined(&mut clients[0], SMALL, BATCH, BATCHES);
    stocks.push(server.stock());
    broadcast(&mut clients, SMALL, BROADCASTS);
    stocks.push(server.stock());
    let trace = traced.end();

    let calls = |index: usize| trace.between(&stocks[index], &stocks[index + 1]);
    // One of each is what it takes. One wait more, of each hundred, for what else may come.
    let each = |times: usize| Most { sends: times, receives: times, waits: times + times.div_ceil(100) };
    each(ECHOES).assert(&format!("{ECHOES} echoes, 1 client"), &calls(0));
    // There may be fewer waits, of which each brings several messages: 34 were enough when recorded.
    each(ECHOES).assert(&format!("{ECHOES} echoes, {MANY} clients"), &calls(1));
    each(BATCHES).assert(&format!("{BATCHES} times {BATCH} echoes of messages in one write"), &calls(2));
    let deliveries = Most { sends: BROADCASTS * EVERYBODY, ..each(BROADCASTS) };
    deliveries.assert(&format!("{BROADCASTS} deliveries to {EVERYBODY} clients"), &calls(3));
}

#[test]
fn a_ping_and_its_pong() {
    const CLIENTS: usize = 50;
    let Some(mut traced) = Traced::start(Some(Duration::from_secs(6))) else { return };
    let server = &mut traced.server;
    let mut clients = connect_all(server, CLIENTS);
    let before = server.stock();
    answer_pings(&mut clients, 1);
    let after = server.stock();
    let trace = traced.end();

    // One ping or pong may be on its way in the moment of counting.
    let most = |what: &str| (heartbeats(&after, what) - heartbeats(&before, what) + 1) as usize;
    let (pings, pongs) = (most("pings_sent"), most("pongs_received"));
    let most = Most { sends: pings, receives: pongs, waits: pongs };
    most.assert(&format!("pings to {CLIENTS} clients and their pongs"), &trace.between(&before, &after));
}

fn heartbeats(stock: &Stock, what: &str) -> u64 {
    stock.status["heartbeat"][what].as_u64().expect("a number")
}
