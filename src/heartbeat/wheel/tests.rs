use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

/// Advances and returns the values that became due, sorted.
fn fired(wheel: &mut TimerWheel<u32>, now: u64) -> Vec<u32> {
    fired_in_batches(wheel, now, usize::MAX)
}

/// Like [`fired`], in batches of at most `limit` entries.
fn fired_in_batches(wheel: &mut TimerWheel<u32>, now: u64, limit: usize) -> Vec<u32> {
    let (mut due, mut is_done, mut values) = (Vec::new(), false, Vec::new());
    while !is_done {
        is_done = wheel.advance(now, limit, &mut due);
        assert!(due.len() <= limit && (is_done || due.len() == limit));
        values.extend(due.drain(..).map(|key| *wheel.get(key).unwrap()));
    }
    values.sort_unstable();
    values
}

#[test]
fn deadline_fires_once_at_its_tick() {
    let mut wheel = TimerWheel::default();
    wheel.insert(1, 5);
    wheel.insert(2, 5);
    wheel.insert(3, 6);
    assert!(fired(&mut wheel, 4).is_empty());
    assert_eq!(fired(&mut wheel, 5), [1, 2]);
    assert_eq!(fired(&mut wheel, 6), [3]);
    assert!(fired(&mut wheel, 5_000).is_empty());
    assert_eq!(wheel.len, 3, "a due entry stays until it is removed");
}

#[test]
fn past_deadline_fires_at_the_next_tick() {
    let mut wheel = TimerWheel::default();
    wheel.advance(100, 1, &mut Vec::new());
    wheel.insert(1, 3);
    wheel.insert(2, 100);
    assert!(fired(&mut wheel, 100).is_empty());
    assert_eq!(fired(&mut wheel, 101), [1, 2]);
}

#[test]
fn deadline_beyond_one_round_fires_in_its_round() {
    let round = SLOTS as u64;
    let mut wheel = TimerWheel::default();
    wheel.insert(0, 7);
    wheel.insert(1, 7 + round);
    wheel.insert(2, 7 + 10 * round);
    for tick in 1..=7 + 10 * round {
        let expected: &[u32] = match tick {
            7 => &[0],
            tick if tick == 7 + round => &[1],
            tick if tick == 7 + 10 * round => &[2],
            _ => &[],
        };
        assert_eq!(fired(&mut wheel, tick), expected, "tick {tick}");
    }
}

#[test]
fn clock_jump_fires_all_due_entries() {
    let mut wheel = TimerWheel::default();
    for value in 0..3_000 {
        wheel.insert(value, u64::from(value) + 1);
    }
    assert_eq!(fired(&mut wheel, 2_500), (0..2_500).collect::<Vec<_>>());
    assert!(fired(&mut wheel, 1_000).is_empty(), "a tick in the past fires nothing");
    assert_eq!(fired(&mut wheel, 2_501), [2_500]);
}

#[test]
fn removed_entry_never_fires_and_its_key_is_invalid() {
    let mut wheel = TimerWheel::default();
    let first = wheel.insert(1, 5);
    assert_eq!(wheel.remove(first), Some(1));
    assert_eq!(wheel.remove(first), None);
    let second = wheel.insert(2, 5);
    assert_ne!(first, second, "the position is used again with another key");
    assert_eq!((wheel.get(first), wheel.get(second)), (None, Some(&2)));
    wheel.schedule(first, 9);
    assert_eq!(fired(&mut wheel, 5), [2]);
    assert_eq!(wheel.remove(second), Some(2));
    assert!(wheel.is_empty());
}

#[test]
fn schedule_replaces_the_deadline() {
    let mut wheel = TimerWheel::default();
    let key = wheel.insert(1, 5);
    wheel.schedule(key, 9);
    assert!(fired(&mut wheel, 8).is_empty());
    assert_eq!(fired(&mut wheel, 9), [1]);
    wheel.schedule(key, 12);
    assert_eq!(fired(&mut wheel, 12), [1]);
}

#[test]
fn entries_over_the_limit_are_due_in_the_next_batch() {
    let mut wheel = TimerWheel::default();
    for value in 0..5 {
        wheel.insert(value, 1);
    }
    let mut due = Vec::new();
    assert!(!wheel.advance(3, 2, &mut due));
    assert_eq!(due.len(), 2);
    // An entry scheduled between two batches fires if `advance` hasn't reached its tick yet.
    wheel.insert(5, 2);
    wheel.schedule(due[0], 4);
    due.clear();
    assert!(!wheel.advance(3, 3, &mut due), "one more is due");
    assert!(wheel.advance(3, 4, &mut due));
    assert_eq!(due.len(), 4);
    assert_eq!(fired(&mut wheel, 4).len(), 1);
}

#[test]
fn clock_jump_between_batches_fires_each_entry_once() {
    let mut wheel = TimerWheel::default();
    for value in 0..3_000 {
        wheel.insert(value, u64::from(value) + 1);
    }
    let mut due = Vec::new();
    assert!(!wheel.advance(500, 100, &mut due));
    let mut values: Vec<u32> = due.iter().map(|key| *wheel.get(*key).unwrap()).collect();
    values.extend(fired_in_batches(&mut wheel, 2_900, 64));
    values.sort_unstable();
    assert_eq!(values, (0..2_900).collect::<Vec<_>>());
}

#[test]
fn growing_wheel_does_not_move_entries() {
    let mut wheel = TimerWheel::default();
    let first = wheel.insert(0, 1);
    let address = std::ptr::from_ref(wheel.get(first).unwrap());
    let keys: Vec<Key> = (1..=10 * CHUNK as u32).map(|value| wheel.insert(value, 1)).collect();
    assert_eq!(std::ptr::from_ref(wheel.get(first).unwrap()), address);
    assert!(keys.iter().zip(1..).all(|(key, value)| wheel.get(*key) == Some(&value)));
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u64),
    Schedule(usize, u64),
    Remove(usize),
    Advance { ticks: u64, limit: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let delay = || prop_oneof![0..50u64, 0..5_000u64];
    let step = prop_oneof![
        4 => delay().prop_map(Step::Insert),
        2 => (any::<usize>(), delay()).prop_map(|(index, delay)| Step::Schedule(index, delay)),
        2 => any::<usize>().prop_map(Step::Remove),
        4 => (prop_oneof![0..3u64, 0..100u64, 0..4_000u64], 1..20usize)
            .prop_map(|(ticks, limit)| Step::Advance { ticks, limit }),
    ];
    proptest::collection::vec(step, 0..300)
}

proptest! {
    /// Every deadline fires once, never early, and at the first advance that reaches it.
    #[test]
    fn wheel_behaves_like_a_list_of_deadlines(steps in steps()) {
        let mut wheel = TimerWheel::default();
        let mut model: HashMap<Key, (u32, Option<u64>)> = HashMap::new();
        let (mut keys, mut now, mut next) = (Vec::new(), 0, 0);
        for step in steps {
            match step {
                Step::Insert(delay) => {
                    let key = wheel.insert(next, now + delay);
                    model.insert(key, (next, Some((now + delay).max(now + 1))));
                    keys.push(key);
                    next += 1;
                }
                Step::Schedule(index, delay) if !keys.is_empty() => {
                    let key = keys[index % keys.len()];
                    wheel.schedule(key, now + delay);
                    if let Some(entry) = model.get_mut(&key) {
                        entry.1 = Some((now + delay).max(now + 1));
                    }
                }
                Step::Remove(index) if !keys.is_empty() => {
                    let key = keys[index % keys.len()];
                    prop_assert_eq!(wheel.remove(key), model.remove(&key).map(|(value, _)| value));
                }
                Step::Schedule(..) | Step::Remove(_) => {}
                Step::Advance { ticks, limit } => {
                    now += ticks;
                    let mut expected: Vec<u32> = Vec::new();
                    for (value, deadline) in model.values_mut() {
                        if deadline.take_if(|at| *at <= now).is_some() {
                            expected.push(*value);
                        }
                    }
                    expected.sort_unstable();
                    prop_assert_eq!(fired_in_batches(&mut wheel, now, limit), expected);
                }
            }
            prop_assert_eq!(wheel.len, model.len());
        }
    }
}
