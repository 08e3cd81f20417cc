use super::*;
use crate::auth::AuthInfo;

const INTERVAL: u64 = 100;
const TIMEOUT: u64 = 50;

/// A heartbeat with ticks of a millisecond.
fn heartbeat() -> Arc<Heartbeat> {
    heartbeat_with(TIMEOUT)
}

fn heartbeat_with(timeout_ticks: u64) -> Arc<Heartbeat> {
    let (interval, timeout) = (Duration::from_millis(INTERVAL), Duration::from_millis(TIMEOUT));
    let heartbeat = Heartbeat::new(&config::HeartbeatConfig { interval, timeout }, Arc::default());
    assert_eq!((heartbeat.interval_ticks, heartbeat.timeout_ticks), (INTERVAL, TIMEOUT));
    Arc::new(Heartbeat { timeout_ticks, timeout: Duration::from_millis(timeout_ticks), ..heartbeat })
}

fn client() -> Arc<GatewayClient> {
    GatewayClient::unconnected(AuthInfo::anonymous())
}

/// A batch in time.
fn batch(heartbeat: &Heartbeat, now: u64) {
    turn_from(heartbeat, now - 1, now);
}

/// A batch after a long pause.
fn turn_after_a_pause(heartbeat: &Heartbeat, now: u64) {
    turn_from(heartbeat, now - INTERVAL, now);
}

fn turn_from(heartbeat: &Heartbeat, last: u64, now: u64) {
    let mut batch = Batch { now: last, ..Batch::default() };
    heartbeat.run_batch(&mut batch, now);
    while batch.has_more {
        heartbeat.run_batch(&mut batch, now);
    }
}

/// What is next for the only client, and when it is due.
fn next(heartbeat: &Heartbeat, watch: &TimerGuard) -> Step {
    match heartbeat.wheel.lock().get(watch.key) {
        Some(Entry::Client { next, .. }) => *next,
        _ => panic!("no client there"),
    }
}

#[test]
fn pings_keep_the_clients_own_offset() {
    let heartbeat = heartbeat();
    for _ in 0..100 {
        let client = client();
        let offset = client.conn_id.bits() % INTERVAL;
        for now in [0, 1, 17, 99, 100, 101, 12_345] {
            let next = heartbeat.next_ping(&client, now);
            assert!(next > now && next <= now + INTERVAL && next % INTERVAL == offset, "{now} {next} {offset}");
        }
    }
}

#[test]
fn first_pings_are_spread_over_the_interval() {
    let heartbeat = heartbeat();
    let mut tenths = [0; 10];
    for _ in 0..10_000 {
        let first = heartbeat.next_ping(&client(), 0);
        tenths[((first - 1) * 10 / INTERVAL) as usize] += 1;
    }
    assert!(tenths.iter().all(|count| (800..1_200).contains(count)), "{tenths:?}");
}

#[test]
fn a_client_that_answers_lives_from_ping_to_ping() {
    let (heartbeat, client) = (heartbeat(), client());
    let watch = heartbeat.register_from(0, &client);
    let mut ping = heartbeat.next_ping(&client, 0);
    for _ in 0..5 {
        batch(&heartbeat, ping);
        assert_eq!(next(&heartbeat, &watch), Step::CheckPong(ping));
        client.mark_active();
        batch(&heartbeat, ping + TIMEOUT);
        assert_eq!((next(&heartbeat, &watch), client.close_reason()), (Step::Ping, None));
        ping += INTERVAL;
    }
}

#[test]
fn a_timeout_as_long_as_the_interval_skips_no_ping() {
    for timeout in [INTERVAL - 1, INTERVAL] {
        let (heartbeat, client) = (heartbeat_with(timeout), client());
        let watch = heartbeat.register_from(0, &client);
        let first = heartbeat.next_ping(&client, 0);
        let mut pinged = Vec::new();
        // Every third tick: the wheel is late by up to two.
        for now in (first..first + 10 * INTERVAL).step_by(3) {
            batch(&heartbeat, now);
            if let Step::CheckPong(tick) = next(&heartbeat, &watch) {
                pinged.push(tick);
                client.mark_active();
            }
        }
        pinged.dedup();
        let each: Vec<u64> = (0..10).map(|round| first + round * INTERVAL).collect();
        assert_eq!(pinged, each, "with a timeout of {timeout}");
    }
}

#[test]
fn a_client_that_never_answers_its_first_ping_is_closed() {
    let (heartbeat, client) = (heartbeat(), client());
    let _watch = heartbeat.register_from(0, &client);
    let ping = heartbeat.next_ping(&client, 0);
    batch(&heartbeat, ping);
    client.outbox.ping_sent();
    let deadline = heartbeat.tick_after(client.ping_sent_at().unwrap() + heartbeat.timeout);
    batch(&heartbeat, ping + TIMEOUT);
    batch(&heartbeat, deadline.max(ping + TIMEOUT));
    assert_eq!((client.close_reason(), heartbeat.timeouts()), (Some(CloseReason::PongTimeout), 1));
}

#[test]
fn a_ping_that_was_not_written_yet_is_not_judged() {
    let (heartbeat, client) = (heartbeat(), client());
    let watch = heartbeat.register_from(0, &client);
    let ping = heartbeat.next_ping(&client, 0);
    batch(&heartbeat, ping);
    for wait in 1..10 {
        batch(&heartbeat, ping + wait * TIMEOUT);
        assert_eq!((next(&heartbeat, &watch), client.close_reason()), (Step::CheckPong(ping), None));
    }
}

#[test]
fn the_time_to_answer_counts_from_when_the_ping_was_written() {
    let (heartbeat, client) = (heartbeat(), client());
    let watch = heartbeat.register_from(0, &client);
    let ping = heartbeat.next_ping(&client, 0);
    batch(&heartbeat, ping);
    // In wheel time the judgement comes at once; by the clock the ping has just been written.
    std::thread::sleep(Duration::from_millis(ping));
    client.outbox.ping_sent();
    let written = heartbeat.tick_of(client.ping_sent_at().unwrap());
    batch(&heartbeat, (ping + TIMEOUT).min(written + TIMEOUT - 1));
    assert_eq!((next(&heartbeat, &watch), client.close_reason()), (Step::CheckPong(ping), None));
}

#[test]
fn a_process_that_stood_still_closes_nobody_at_once() {
    let heartbeat = heartbeat();
    let clients: Vec<_> = (0..50).map(|_| client()).collect();
    let watches: Vec<_> = clients.iter().map(|client| heartbeat.register_from(0, client)).collect();
    batch(&heartbeat, INTERVAL);
    clients.iter().for_each(|client| client.outbox.ping_sent());
    let awake = 1_000 * INTERVAL;
    turn_after_a_pause(&heartbeat, awake);
    for (client, watch) in clients.iter().zip(&watches) {
        assert_eq!(client.close_reason(), None);
        assert!(matches!(next(&heartbeat, watch), Step::CheckPong(_)));
    }
    clients[0].mark_active();
    batch(&heartbeat, awake + TIMEOUT);
    let closed = clients.iter().filter(|client| client.close_reason() == Some(CloseReason::PongTimeout)).count();
    assert_eq!((closed, clients[0].close_reason()), (49, None), "it answered; the others had their time again");
}

#[test]
fn a_dropped_watch_leaves_nothing_in_the_wheel() {
    let (heartbeat, client) = (heartbeat(), client());
    let watch = heartbeat.register_from(0, &client);
    assert!(!heartbeat.wheel.lock().is_empty());
    drop(watch);
    assert!(heartbeat.wheel.lock().is_empty());
    assert_eq!(Arc::strong_count(&client) + Arc::weak_count(&client), 1);
}

/// How many clients wait to be judged, and not for their ping.
fn pinged(heartbeat: &Heartbeat, watches: &[TimerGuard]) -> usize {
    watches.iter().filter(|watch| matches!(next(heartbeat, watch), Step::CheckPong(_))).count()
}

#[test]
fn a_turn_has_pieces_and_goes_on_while_the_clock_does() {
    let heartbeat = heartbeat();
    let clients: Vec<_> = (0..10 * CLIENTS_PER_BATCH).map(|_| client()).collect();
    let watches: Vec<_> = clients.iter().map(|client| heartbeat.register_from(0, client)).collect();
    let mut batch = Batch { now: INTERVAL, ..Batch::default() };
    // Slower than the clock: each piece takes a tick.
    for piece in 1..10 {
        heartbeat.run_batch(&mut batch, INTERVAL + piece);
        assert_eq!((batch.has_more, pinged(&heartbeat, &watches)), (true, piece as usize * CLIENTS_PER_BATCH));
    }
    heartbeat.run_batch(&mut batch, INTERVAL + 10);
    assert_eq!((batch.has_more, pinged(&heartbeat, &watches)), (false, clients.len()));
    assert_eq!(batch.grace_until, 0, "a long batch is no standstill");
}

#[test]
fn leniency_lasts_until_everybody_was_visited() {
    let heartbeat = heartbeat();
    let clients: Vec<_> = (0..20 * CLIENTS_PER_BATCH).map(|_| client()).collect();
    let _watches: Vec<_> = clients.iter().map(|client| heartbeat.register_from(0, client)).collect();
    batch(&heartbeat, INTERVAL);
    clients.iter().for_each(|client| client.outbox.ping_sent());
    let awake = 1_000 * INTERVAL;
    let (mut batch, mut now) = (Batch { now: INTERVAL, ..Batch::default() }, awake);
    heartbeat.run_batch(&mut batch, now);
    while batch.has_more {
        now += 2;
        heartbeat.run_batch(&mut batch, now);
    }
    assert!(now > awake + heartbeat.stall_ticks, "longer than a timestamp");
    assert_eq!(clients.iter().filter(|client| client.close_reason().is_some()).count(), 0);
}

/// On one thread: a task that wants nothing but its batch has it after each piece.
#[tokio::test]
async fn others_have_their_turn_between_two_pieces() {
    let started = Instant::now() - Duration::from_millis(10 * INTERVAL);
    let heartbeat = Arc::into_inner(heartbeat()).unwrap();
    let heartbeat = Arc::new(Heartbeat { started, ..heartbeat });
    let clients: Vec<_> = (0..10 * CLIENTS_PER_BATCH).map(|_| client()).collect();
    let watches: Vec<_> = clients.iter().map(|client| heartbeat.register_from(0, client)).collect();
    let running = heartbeat.clone();
    let running = tokio::spawn(async move { running.run().await });
    let (mut turns, mut before) = (0, 0);
    let deadline = Instant::now() + Duration::from_secs(30);
    while before < clients.len() {
        assert!(Instant::now() < deadline, "{before} were pinged");
        tokio::task::yield_now().await;
        let now = pinged(&heartbeat, &watches);
        assert!(now <= before + CLIENTS_PER_BATCH, "{} at once", now - before);
        turns += usize::from(now > before);
        before = now;
    }
    assert!(turns >= 10, "{turns}");
    running.abort();
}

#[test]
fn an_alarm_rings_once_and_not_at_all_when_it_was_dropped() {
    let (heartbeat, rung) = (heartbeat(), Arc::new(Counter::default()));
    let alarm = |after: Duration| {
        let rung = rung.clone();
        heartbeat.schedule(after, move || rung.add(1))
    };
    let (hour, day) = (Duration::from_secs(3600), Duration::from_secs(86_400));
    let (_kept, dropped, later) = (alarm(hour), alarm(hour), alarm(day));
    drop(dropped);
    let due = heartbeat.tick_after(Instant::now() + hour);
    turn_from(&heartbeat, 0, due - 1_000);
    assert_eq!(rung.get(), 0);
    turn_from(&heartbeat, due - 1_000, due);
    turn_from(&heartbeat, due, due + 1_000);
    assert_eq!(rung.get(), 1);
    drop(later);
    assert!(heartbeat.wheel.lock().is_empty());
}
