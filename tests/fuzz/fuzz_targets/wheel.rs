//! The timer wheel behaves like a sorted map of deadlines, whatever is inserted, scheduled, removed and advanced.

#![no_main]

use aisopod_gateway::internals::{Key, TimerWheel};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;

#[derive(Arbitrary, Debug)]
enum Step {
    Insert { after: u16 },
    Schedule { which: u8, after: u16 },
    Remove { which: u8 },
    Advance { by: u16, limit: u8 },
}

fuzz_target!(|steps: Vec<Step>| {
    let (mut wheel, mut now, mut last) = (TimerWheel::default(), 0_u64, 0_u32);
    // The key and the deadline of each entry; none after it was due.
    let mut model = BTreeMap::new();
    for step in steps {
        match step {
            Step::Insert { after } => {
                let deadline = now + u64::from(after);
                last += 1;
                model.insert(last, (wheel.insert(last, deadline), Some(deadline.max(now + 1))));
            }
            Step::Schedule { which, after } => {
                let deadline = now + u64::from(after);
                if let Some((key, entry)) = model.get_mut(&u32::from(which)) {
                    wheel.schedule(*key, deadline);
                    *entry = Some(deadline.max(now + 1));
                }
            }
            Step::Remove { which } => {
                let which = u32::from(which);
                let removed = model.remove(&which).map(|(key, _)| wheel.remove(key));
                assert!(removed.is_none_or(|removed| removed == Some(which)));
            }
            Step::Advance { by, limit } => {
                now += u64::from(by);
                let (mut due, limit) = (Vec::new(), usize::from(limit).max(1));
                while !wheel.advance(now, limit, &mut due) {
                    assert_eq!(due.len(), limit);
                    take_due(&wheel, &mut due, &mut model, now);
                }
                take_due(&wheel, &mut due, &mut model, now);
                let late = model.values().filter_map(|(_, deadline)| *deadline).find(|deadline| *deadline <= now);
                assert_eq!(late, None, "a deadline was missed at {now}");
            }
        }
        assert_eq!(wheel.is_empty(), model.is_empty());
    }
});

/// Takes the keys of entries that are due.
fn take_due(wheel: &TimerWheel<u32>, due: &mut Vec<Key>, model: &mut BTreeMap<u32, (Key, Option<u64>)>, now: u64) {
    for key in due.drain(..) {
        let value = wheel.get(key).expect("an entry that is due stays in the wheel");
        let deadline = model.get_mut(value).expect("it wasn't removed").1.take();
        assert!(deadline.is_some_and(|deadline| deadline <= now), "{value} is due at {deadline:?}, not at {now}");
    }
}
