//! The bars: what healthy clients may notice of an attack.

use crate::measure::Measurement;
use crate::newcomers::{Arrivals, Watch};

/// A latency may grow by this factor...
const FACTOR: f64 = 10.0;
/// ...or to this many milliseconds, whichever is more.
const FLOOR: f64 = 20.0;
/// Fewer requests than this have no 99th percentile of their own.
const ENOUGH: usize = 100;

/// The p99 that healthy clients may have, in milliseconds.
pub fn p99_bar(measurement: &Measurement) -> f64 {
    (measurement.quiet.p99 * FACTOR).max(FLOOR)
}

/// The bars that are missed, in words.
pub fn missed(measurement: &Measurement) -> Vec<String> {
    let Measurement { attacked, damage, memory, .. } = measurement;
    let mut missed = Vec::new();
    let mut check = |is_missed: bool, what: String| {
        if is_missed {
            missed.push(what);
        }
    };
    check(measurement.has_died, "the gateway ended".to_owned());
    check(damage.disconnected > 0, format!("{} disconnected", damage.disconnected));
    check(damage.lost > 0, format!("{} lost", damage.lost));
    check(damage.out_of_order > 0, format!("{} out of order", damage.out_of_order));
    let bar = p99_bar(measurement);
    check(attacked.p99 > bar, format!("p99 over {bar:.0} ms"));
    let is_slow = attacked.p99 <= bar && attacked.fewest >= ENOUGH && attacked.worst_p99 > bar;
    check(is_slow, format!("a client's p99 over {bar:.0} ms"));
    let Watch { clients, operators, .. } = &measurement.watch;
    for (who, Arrivals { tried, succeeded, .. }) in [("newcomers", clients), ("operators", operators)] {
        check(succeeded * 2 < *tried, format!("{succeeded} of {tried} {who} got in"));
    }
    check(memory.peak > memory.bound, "memory over its bounds".to_owned());
    missed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::healthy::Damage;
    use crate::measure::Memory;
    use crate::samples::Quantiles;

    fn measurement() -> Measurement {
        let quiet = Quantiles { p99: 1.0, ..Quantiles::default() };
        let attacked = Quantiles { p99: 20.0, worst_p99: 20.0, fewest: ENOUGH, ..Quantiles::default() };
        let memory = Memory { peak: 10, bound: 10, ..Memory::default() };
        Measurement { quiet, attacked, memory, ..Measurement::default() }
    }

    #[test]
    fn each_bar_is_missed_by_itself() {
        assert_eq!(missed(&measurement()), Vec::<String>::new());
        type Change = fn(&mut Measurement);
        let cases: [(&str, Change); 10] = [
            ("the gateway ended", |it| it.has_died = true),
            ("1 disconnected", |it| it.damage = Damage { disconnected: 1, ..Damage::default() }),
            ("2 lost", |it| it.damage = Damage { lost: 2, ..Damage::default() }),
            ("3 out of order", |it| it.damage = Damage { out_of_order: 3, ..Damage::default() }),
            ("p99 over 20 ms", |it| it.attacked.p99 = 20.1),
            ("p99 over 30 ms", |it| (it.quiet.p99, it.attacked.p99) = (3.0, 30.1)),
            ("a client's p99 over 20 ms", |it| it.attacked.worst_p99 = 20.1),
            ("1 of 3 newcomers got in", |it| (it.watch.clients.succeeded, it.watch.clients.tried) = (1, 3)),
            ("4 of 9 operators got in", |it| (it.watch.operators.succeeded, it.watch.operators.tried) = (4, 9)),
            ("memory over its bounds", |it| it.memory.peak = 11),
        ];
        for (expected, change) in cases {
            let mut measurement = measurement();
            change(&mut measurement);
            assert_eq!(missed(&measurement), [expected]);
        }
    }

    #[test]
    fn few_requests_of_a_client_have_no_p99() {
        let mut measurement = measurement();
        (measurement.attacked.worst_p99, measurement.attacked.fewest) = (500.0, ENOUGH - 1);
        assert!(missed(&measurement).is_empty());
    }
}
