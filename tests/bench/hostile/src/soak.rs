//! The soak: random misbehaviour beside healthy clients, in rounds. Nothing of the healthy clients may be lost, and
//! after each round the gateway must be as it was before it. Time is measured and printed, but decides nothing.

use crate::attackers::{self, Outcome};
use crate::events::{self, Deliveries, SUBSCRIBERS};
use crate::gateway::{Addresses, Gateway};
use crate::healthy::{Damage, Healthy};
use crate::measure;
use crate::mischief::{CONNECTIONS, Mischief};
use crate::options::Options;
use crate::priority::Preferred;
use crate::rest::{self, Rest};
use load::failure::Failure;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::SystemTime;

/// Rounds of equal length.
const ROUNDS: u32 = 3;
/// Resident memory may grow by this much from the first round's end to the last one's. A leak grows with every round;
/// what is allowed is what the allocator keeps of arenas that were in use for large messages, which differs by up to 20
/// MiB from round to round, in both directions.
const MAX_GROWTH: u64 = 32 * 1024 * 1024;
/// And by this much from before the first round: that is once what the allocator keeps, the buffers of each thread, the
/// history of closed connections, and tables that have grown.
const MAX_KEPT: u64 = 64 * 1024 * 1024;
/// The kinds of ends of attackers' connections that are printed, the most frequent first.
const ENDS: usize = 12;

/// Runs all rounds, and returns whether everything was as it must be.
pub fn run(options: &Options) -> Result<bool, Failure> {
    let seed = options.seed.unwrap_or_else(seed_of_now);
    println!("soak: {} healthy clients, {CONNECTIONS} that misbehave, --seed {seed}", options.clients);
    let gateway = measure::start(options)?;
    let (is_over, addr) = (AtomicBool::new(false), gateway.addresses.clients);
    let failures = thread::scope(|scope| {
        let publishing = scope.spawn(|| events::run(addr, &is_over));
        let result = run_rounds(options, seed, gateway, || {
            is_over.store(true, Relaxed);
            publishing.join().unwrap_or_else(|_| Err(Failure("the subscribers panicked".to_owned())))
        });
        is_over.store(true, Relaxed);
        result
    })?;
    failures.iter().for_each(|failure| println!("FAILED: {failure}"));
    if failures.is_empty() {
        println!("nothing lost, nothing kept");
    }
    Ok(failures.is_empty())
}

/// Runs all rounds, and returns what wasn't as it must be.
fn run_rounds(
    options: &Options,
    seed: u64,
    mut gateway: Gateway,
    end_events: impl FnOnce() -> Result<Deliveries, Failure>,
) -> Result<Vec<String>, Failure> {
    let _preferred = Preferred::thread();
    let mut healthy = Healthy::connect(gateway.addresses.clients, options.clients, options.rate)?;
    let clients = (options.clients + SUBSCRIBERS + 1) as u64;
    let before = rest::wait(&gateway, &mut healthy, clients, None)?;
    println!("before: {before}");
    let mut rests = Vec::new();
    for round in 1..=ROUNDS {
        // Each round has choices of its own.
        let outcome = misbehave(options, seed.wrapping_add(round.into()), gateway.addresses, &mut healthy)?;
        println!("round {round}: {}", latencies(&mut healthy));
        print_outcome(&outcome);
        if !gateway.is_running()? {
            return Ok(vec![format!("the gateway ended in round {round}")]);
        }
        let rest = rest::wait(&gateway, &mut healthy, clients, Some(before.descriptors))?;
        println!("    then {rest}");
        rests.push(rest);
    }
    let deliveries = end_events()?;
    let damage = healthy.settle()?;
    println!("healthy clients: {damage:?}\nhealthy subscribers: {deliveries:?}");
    Ok(failures(&before, &rests, damage, deliveries))
}

/// One round.
fn misbehave(options: &Options, seed: u64, addresses: Addresses, healthy: &mut Healthy) -> Result<Outcome, Failure> {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let attacking = scope.spawn(|| {
            let mut mischief = Mischief::new(seed, addresses);
            attackers::run_plans(CONNECTIONS, |id| mischief.next(id), &is_over)
        });
        let result = healthy.run(measure::ATTACKED, options.seconds / ROUNDS);
        is_over.store(true, Relaxed);
        let outcome = attacking.join().unwrap_or_else(|_| Err(Failure("the attackers panicked".to_owned())));
        result.and(outcome)
    })
}

fn failures(before: &Rest, rests: &[Rest], damage: Damage, deliveries: Deliveries) -> Vec<String> {
    let mut failures = Vec::new();
    let mut check = |is_good: bool, what: String| {
        if !is_good {
            failures.push(what);
        }
    };
    check(damage == Damage::default(), format!("healthy clients: {damage:?}"));
    let expected = Deliveries { published: deliveries.published, ..Deliveries::default() };
    check(deliveries == expected, format!("healthy subscribers: {deliveries:?}"));
    for (round, rest) in [before].into_iter().chain(rests).enumerate() {
        check(rest.unbalanced.is_empty(), format!("after round {round}: {}", rest.unbalanced.join(", ")));
    }
    let resident = |rest: Option<&Rest>| rest.map_or(0, |rest| rest.resident);
    let (first, last) = (resident(rests.first()), resident(rests.last()));
    check(
        last <= first + MAX_GROWTH,
        format!("memory grew from {first} to {last} bytes between the first round and the last"),
    );
    check(last <= before.resident + MAX_KEPT, format!("memory grew from {} to {last} bytes", before.resident));
    failures
}

fn latencies(healthy: &mut Healthy) -> String {
    let quantiles = healthy.samples(measure::ATTACKED).take().quantiles();
    format!(
        "{} requests, p50 {:.2} ms, p99 {:.2}, max {:.1}, worst client's p99 {:.1}",
        quantiles.count, quantiles.p50, quantiles.p99, quantiles.max, quantiles.worst_p99
    )
}

fn print_outcome(outcome: &Outcome) {
    let mut ends: Vec<_> = outcome.ends.iter().collect();
    ends.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let mib = |bytes: u64| bytes / 1024 / 1024;
    println!(
        "    {} connections opened, {} MiB sent, {} MiB received",
        outcome.opened,
        mib(outcome.bytes_sent),
        mib(outcome.bytes_received)
    );
    ends.iter().take(ENDS).for_each(|(end, count)| println!("    {count:>7} {end}"));
}

fn seed_of_now() -> u64 {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since_epoch.as_millis() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn rests(resident: [u64; 4]) -> [Rest; 4] {
        resident.map(|mib| Rest { resident: mib * MIB, ..Rest::default() })
    }

    #[test]
    fn growth_in_each_round_is_a_leak_and_memory_kept_once_is_not() {
        let failures = |resident| {
            let [before, rests @ ..] = rests(resident);
            failures(&before, &rests, Damage::default(), Deliveries::default()).len()
        };
        assert_eq!(failures([7, 40, 44, 42]), 0);
        assert_eq!(failures([7, 20, 40, 53]), 1);
        assert_eq!(failures([7, 80, 80, 80]), 1);
    }

    #[test]
    fn anything_lost_and_anything_unbalanced_fails() {
        let [before, first, rests @ ..] = rests([7; 4]);
        let first = Rest { unbalanced: vec!["1 handshake".to_owned()], ..first };
        let rests: Vec<_> = [first].into_iter().chain(rests).collect();
        let damage = Damage { lost: 1, ..Damage::default() };
        let deliveries = Deliveries { published: 9, lost: 1, ..Deliveries::default() };
        assert_eq!(failures(&before, &rests, damage, deliveries).len(), 3);
        assert_eq!(
            failures(&before, &rests[1..], Damage::default(), Deliveries { published: 9, ..Default::default() }).len(),
            0
        );
    }
}
