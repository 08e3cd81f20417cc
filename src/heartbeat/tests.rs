use super::*;
use crate::auth::AuthInfo;
use crate::config::HeartbeatConfig;

const INTERVAL: u64 = 100;
const TIMEOUT: u64 = 50;

/// A heartbeat with ticks of one millisecond.
fn heartbeat() -> Arc<Heartbeat> {
    heartbeat_with(TIMEOUT)
}

fn heartbeat_with(timeout_ticks: u64) -> Arc<Heartbeat> {
    let (interval, timeout) = (Duration::from_millis(INTERVAL), Duration::from_millis(TIMEOUT));
    let heartbeat = Heartbeat::new(
        LiveConfig::with(|config| config.heartbeat = HeartbeatConfig { interval, timeout }),
        Arc::default(),
    );
    assert_eq!((heartbeat.interval_ticks, heartbeat.timeout_ticks), (INTERVAL, TIMEOUT));
    Arc::new(Heartbeat { timeout_ticks, timeout: Duration::from_millis(timeout_ticks), ..heartbeat })
}

fn client() -> Arc<GatewayClient> {
    GatewayClient::unconnected(AuthInfo::anonymous())
}

/// Runs all batches of a tick, without a stall.
fn run_tick(heartbeat: &Heartbeat, now: u64) {
    run_tick_after(heartbeat, now - 1, now);
}

/// Runs all batches of the tick `now`, where the tick `last` was the one before it.
fn run_tick_after(heartbeat: &Heartbeat, last: u64, now: u64) {
    let mut batch = Batch { now: last, ..Batch::default() };
    heartbeat.run_batch(&mut batch, now);
    while batch.has_more {
        heartbeat.run_batch(&mut batch, now);
    }
}

/// A client's next step.
fn next(heartbeat: &Heartbeat, guard: &TimerGuard) -> Step {
    match heartbeat.wheel.lock().get(guard.key) {
        Some(Entry::Client { next, .. }) => *next,
        _ => panic!("the client isn't in the wheel"),
    }
}

#[test]
fn pings_keep_the_offset_of_the_client() {
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
fn active_client_is_pinged_each_interval_and_stays_open() {
    let (heartbeat, client) = (heartbeat(), client());
    let guard = heartbeat.register_at(0, &client);
    let mut ping = heartbeat.next_ping(&client, 0);
    for _ in 0..5 {
        run_tick(&heartbeat, ping);
        assert_eq!(next(&heartbeat, &guard), Step::CheckPong(ping));
        client.mark_active();
        run_tick(&heartbeat, ping + TIMEOUT);
        assert_eq!((next(&heartbeat, &guard), client.close_reason()), (Step::Ping, None));
        ping += INTERVAL;
    }
}

#[test]
fn timeout_as_long_as_the_interval_skips_no_ping() {
    for timeout in [INTERVAL - 1, INTERVAL] {
        let (heartbeat, client) = (heartbeat_with(timeout), client());
        let guard = heartbeat.register_at(0, &client);
        let first = heartbeat.next_ping(&client, 0);
        let mut pings = Vec::new();
        // Every third tick only: the wheel is late by up to two ticks.
        for now in (first..first + 10 * INTERVAL).step_by(3) {
            run_tick(&heartbeat, now);
            if let Step::CheckPong(tick) = next(&heartbeat, &guard) {
                pings.push(tick);
                client.mark_active();
            }
        }
        pings.dedup();
        let expected: Vec<u64> = (0..10).map(|round| first + round * INTERVAL).collect();
        assert_eq!(pings, expected, "with a timeout of {timeout}");
    }
}

#[test]
fn client_that_never_answers_its_first_ping_is_closed() {
    let (heartbeat, client) = (heartbeat(), client());
    let _guard = heartbeat.register_at(0, &client);
    let ping = heartbeat.next_ping(&client, 0);
    run_tick(&heartbeat, ping);
    client.outbox.ping_sent();
    let deadline = heartbeat.tick_after(client.ping_sent_at().unwrap() + heartbeat.timeout);
    run_tick(&heartbeat, ping + TIMEOUT);
    run_tick(&heartbeat, deadline.max(ping + TIMEOUT));
    assert_eq!((client.close_reason(), heartbeat.timeouts()), (Some(CloseReason::PongTimeout), 1));
}

#[test]
fn unwritten_ping_does_not_time_out() {
    let (heartbeat, client) = (heartbeat(), client());
    let guard = heartbeat.register_at(0, &client);
    let ping = heartbeat.next_ping(&client, 0);
    run_tick(&heartbeat, ping);
    for wait in 1..10 {
        run_tick(&heartbeat, ping + wait * TIMEOUT);
        assert_eq!((next(&heartbeat, &guard), client.close_reason()), (Step::CheckPong(ping), None));
    }
}

#[test]
fn timeout_starts_when_the_ping_is_written() {
    let (heartbeat, client) = (heartbeat(), client());
    let guard = heartbeat.register_at(0, &client);
    let ping = heartbeat.next_ping(&client, 0);
    run_tick(&heartbeat, ping);
    // `run_tick` doesn't wait: by the clock, the ping is written two ticks late.
    std::thread::sleep(Duration::from_millis(ping + 2));
    client.outbox.ping_sent();
    let written = heartbeat.tick_of(client.ping_sent_at().unwrap());
    run_tick(&heartbeat, (ping + TIMEOUT).min(written + TIMEOUT - 1));
    assert_eq!((next(&heartbeat, &guard), client.close_reason()), (Step::CheckPong(ping), None));
}

#[test]
fn stalled_process_gives_clients_time_to_answer() {
    let heartbeat = heartbeat();
    let clients: Vec<_> = (0..50).map(|_| client()).collect();
    let guards: Vec<_> = clients.iter().map(|client| heartbeat.register_at(0, client)).collect();
    run_tick(&heartbeat, INTERVAL);
    clients.iter().for_each(|client| client.outbox.ping_sent());
    let awake = 1_000 * INTERVAL;
    run_tick_after(&heartbeat, awake - INTERVAL, awake);
    for (client, guard) in clients.iter().zip(&guards) {
        assert_eq!(client.close_reason(), None);
        assert!(matches!(next(&heartbeat, guard), Step::CheckPong(_)));
    }
    clients[0].mark_active();
    run_tick(&heartbeat, awake + TIMEOUT);
    let closed = clients.iter().filter(|client| client.close_reason() == Some(CloseReason::PongTimeout)).count();
    assert_eq!((closed, clients[0].close_reason()), (49, None), "the client that answered stays open");
}

#[test]
fn dropped_guard_leaves_nothing_in_the_wheel() {
    let (heartbeat, client) = (heartbeat(), client());
    let guard = heartbeat.register_at(0, &client);
    assert!(!heartbeat.wheel.lock().is_empty());
    drop(guard);
    assert!(heartbeat.wheel.lock().is_empty());
    assert_eq!(Arc::strong_count(&client) + Arc::weak_count(&client), 1);
}

/// The number of clients that were pinged and not checked yet.
fn pinged(heartbeat: &Heartbeat, guards: &[TimerGuard]) -> usize {
    guards.iter().filter(|guard| matches!(next(heartbeat, guard), Step::CheckPong(_))).count()
}

#[test]
fn batches_are_bounded_while_the_clock_advances() {
    let heartbeat = heartbeat();
    let clients: Vec<_> = (0..10 * CLIENTS_PER_BATCH).map(|_| client()).collect();
    let guards: Vec<_> = clients.iter().map(|client| heartbeat.register_at(0, client)).collect();
    let mut batch = Batch { now: INTERVAL, ..Batch::default() };
    // Each batch takes a tick.
    for count in 1..10 {
        heartbeat.run_batch(&mut batch, INTERVAL + count);
        assert_eq!((batch.has_more, pinged(&heartbeat, &guards)), (true, count as usize * CLIENTS_PER_BATCH));
    }
    heartbeat.run_batch(&mut batch, INTERVAL + 10);
    assert_eq!((batch.has_more, pinged(&heartbeat, &guards)), (false, clients.len()));
    assert_eq!(batch.grace_until, 0, "a sequence of batches is no stall");
}

#[test]
fn grace_period_lasts_until_all_clients_were_visited() {
    let heartbeat = heartbeat();
    let clients: Vec<_> = (0..20 * CLIENTS_PER_BATCH).map(|_| client()).collect();
    let _guards: Vec<_> = clients.iter().map(|client| heartbeat.register_at(0, client)).collect();
    run_tick(&heartbeat, INTERVAL);
    clients.iter().for_each(|client| client.outbox.ping_sent());
    let awake = 1_000 * INTERVAL;
    let (mut batch, mut now) = (Batch { now: INTERVAL, ..Batch::default() }, awake);
    heartbeat.run_batch(&mut batch, now);
    while batch.has_more {
        now += 2;
        heartbeat.run_batch(&mut batch, now);
    }
    assert!(now > awake + heartbeat.stall_ticks, "the batches take longer than the initial grace period");
    assert_eq!(clients.iter().filter(|client| client.close_reason().is_some()).count(), 0);
}

/// On a runtime with one thread, another task runs after each batch.
#[tokio::test]
async fn heartbeat_yields_between_batches() {
    let started = Instant::now() - Duration::from_millis(10 * INTERVAL);
    let heartbeat = Arc::into_inner(heartbeat()).unwrap();
    let heartbeat = Arc::new(Heartbeat { started, ..heartbeat });
    let clients: Vec<_> = (0..10 * CLIENTS_PER_BATCH).map(|_| client()).collect();
    let guards: Vec<_> = clients.iter().map(|client| heartbeat.register_at(0, client)).collect();
    let running = heartbeat.clone();
    let running = tokio::spawn(async move { running.run().await });
    let (mut batches, mut before) = (0, 0);
    let deadline = Instant::now() + Duration::from_secs(30);
    while before < clients.len() {
        assert!(Instant::now() < deadline, "{before} clients were pinged");
        tokio::task::yield_now().await;
        let now = pinged(&heartbeat, &guards);
        assert!(now <= before + CLIENTS_PER_BATCH, "{} clients in one batch", now - before);
        batches += usize::from(now > before);
        before = now;
    }
    assert!(batches >= 10, "{batches}");
    running.abort();
}

#[test]
fn timer_fires_once_unless_dropped() {
    let (heartbeat, fired) = (heartbeat(), Arc::new(Counter::default()));
    let timer = |after: Duration| {
        let fired = fired.clone();
        heartbeat.schedule(after, move || fired.add(1))
    };
    let (hour, day) = (Duration::from_secs(3600), Duration::from_secs(86_400));
    let (_kept, dropped, later) = (timer(hour), timer(hour), timer(day));
    drop(dropped);
    let due = heartbeat.tick_after(Instant::now() + hour);
    run_tick_after(&heartbeat, 0, due - 1_000);
    assert_eq!(fired.get(), 0);
    run_tick_after(&heartbeat, due - 1_000, due);
    run_tick_after(&heartbeat, due, due + 1_000);
    assert_eq!(fired.get(), 1);
    drop(later);
    assert!(heartbeat.wheel.lock().is_empty());
}
