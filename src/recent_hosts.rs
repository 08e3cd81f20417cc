//! A map of hosts that is bounded whatever is inserted: it forgets the hosts that it has seen least recently.

use crate::network::HostKey;
use std::collections::HashMap;

/// Maximum entries of one generation; the map has two.
const MAX_ENTRIES: usize = 32_768;

/// A map of hosts in two generations. When the younger one is full, it becomes the older one, which is dropped. Each
/// operation takes constant time on average.
#[derive(Default)]
pub struct RecentHosts<V> {
    younger: HashMap<HostKey, V>,
    older: HashMap<HostKey, V>,
}

impl<V: Default> RecentHosts<V> {
    /// The host's value; the default for a host that is new or forgotten.
    pub fn entry(&mut self, host: HostKey) -> &mut V {
        if !self.younger.contains_key(&host) && self.younger.len() >= MAX_ENTRIES {
            self.older = std::mem::take(&mut self.younger);
        }
        let older = &mut self.older;
        self.younger.entry(host).or_insert_with(|| older.remove(&host).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn oldest_hosts_are_forgotten_when_there_are_too_many() {
        let host = |number: u32| HostKey::of(Ipv4Addr::from(number).into());
        let mut hosts = RecentHosts::<u32>::default();
        *hosts.entry(host(0)) = 1;
        for number in 1..MAX_ENTRIES as u32 {
            hosts.entry(host(number));
        }
        for number in 0..MAX_ENTRIES as u32 / 2 {
            hosts.entry(host(1_000_000 + number));
        }
        assert_eq!(*hosts.entry(host(0)), 1, "still in the older generation");
        for number in 0..3 * MAX_ENTRIES as u32 {
            hosts.entry(host(2_000_000 + number));
        }
        assert!(hosts.younger.len() + hosts.older.len() <= 2 * MAX_ENTRIES);
        assert_eq!(*hosts.entry(host(0)), 0, "forgotten");
    }
}
