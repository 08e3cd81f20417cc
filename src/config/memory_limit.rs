//! A limit on memory: bytes, or a part of the memory that the process may use.

use std::ops::RangeInclusive;

/// The limits that can be set in bytes: 1 MiB to 1 TiB.
const BYTES: RangeInclusive<u64> = 1 << 20..=1 << 40;

/// The values that [`MemoryLimit::parse`] and [`MemoryLimit::from_bytes`] accept, for messages.
pub const MEMORY_LIMIT_SYNTAX: &str = "allowed: 1048576 to 1099511627776 bytes, or \"1%\" to \"100%\"";

/// A limit on memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryLimit {
    /// In bytes.
    Bytes(u64),
    /// In percent of the memory that the process may use.
    Percent(u8),
}

impl MemoryLimit {
    /// Returns a limit in bytes; `None` if it isn't allowed.
    pub fn from_bytes(bytes: u64) -> Option<Self> {
        BYTES.contains(&bytes).then_some(MemoryLimit::Bytes(bytes))
    }

    /// Parses a limit in percent, such as `50%`.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_suffix('%').filter(|digits| digits.bytes().all(|c| c.is_ascii_digit()))?;
        digits.parse().ok().filter(|percent| (1..=100).contains(percent)).map(MemoryLimit::Percent)
    }

    /// The limit in bytes for a process that may use `available` bytes.
    pub fn of(self, available: u64) -> u64 {
        match self {
            MemoryLimit::Bytes(bytes) => bytes,
            MemoryLimit::Percent(percent) => available / 100 * u64::from(percent),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_whole_numbers_up_to_a_hundred() {
        for (text, limit) in [("1%", Some(1)), ("50%", Some(50)), ("100%", Some(100))] {
            assert_eq!(MemoryLimit::parse(text), limit.map(MemoryLimit::Percent), "{text}");
        }
        for text in ["0%", "101%", "50", "+5%", "5 %", "5.5%", "%", ""] {
            assert_eq!(MemoryLimit::parse(text), None, "{text}");
        }
        assert_eq!(MemoryLimit::Percent(50).of(1 << 30), (1 << 30) / 100 * 50);
        assert_eq!(MemoryLimit::Bytes(5 << 20).of(1), 5 << 20);
    }
}
