//! The account of all memory that peers make the gateway hold: what is queued for them, and what they have sent that is
//! unfinished or not yet handled.
//!
//! Knows no client and no connection: those charge what they hold, and return it. Bytes are counted as they are stored;
//! the allocator takes somewhat more. Memory that every connection takes, however little it sends, isn't counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::sync::Notify;

/// What a holder may hold, in bytes, before it is affected when memory is scarce.
pub const SCARCE_SHARE: u64 = 64 * 1024;

/// What a holder may hold, in bytes, before it is affected when memory is exhausted. Less isn't worth a close.
pub const EXHAUSTED_SHARE: u64 = 4 * 1024;

/// The bytes that all peers together make the gateway hold, and their limit, `limits.max_memory_for_clients`.
///
/// Memory is *scarce* while more than 7/8 of the limit is held: no more is read from large holders, and the largest are
/// closed. It is *exhausted* at the limit: nothing more is queued for large holders.
#[derive(Debug)]
pub struct MemoryAccount {
    limit: AtomicU64,
    held: AtomicU64,
    became_scarce: Notify,
}

impl Default for MemoryAccount {
    /// An account without a limit.
    fn default() -> Self {
        Self::new(u64::MAX)
    }
}

impl MemoryAccount {
    /// An empty account with a limit in bytes.
    pub fn new(limit: u64) -> Self {
        MemoryAccount { limit: limit.into(), held: AtomicU64::new(0), became_scarce: Notify::new() }
    }

    /// Sets another limit in bytes.
    pub fn set_limit(&self, limit: u64) {
        self.limit.store(limit, Relaxed);
        if self.excess() > 0 {
            self.became_scarce.notify_one();
        }
    }

    /// More bytes than this are scarce.
    fn mark(&self) -> u64 {
        self.limit() / 8 * 7
    }

    /// Adds bytes that are held already; never fails.
    pub fn add(&self, bytes: u64) {
        if bytes == 0 {
            return;
        }
        let before = self.held.fetch_add(bytes, Relaxed);
        let mark = self.mark();
        if before <= mark && before + bytes > mark {
            self.became_scarce.notify_one();
        }
    }

    /// Subtracts bytes, which must have been added earlier.
    pub fn sub(&self, bytes: u64) {
        if bytes > 0 {
            self.held.fetch_sub(bytes, Relaxed);
        }
    }

    /// The bytes held now.
    pub fn held(&self) -> u64 {
        self.held.load(Relaxed)
    }

    /// The limit in bytes.
    pub fn limit(&self) -> u64 {
        self.limit.load(Relaxed)
    }

    /// How many bytes must be returned until memory isn't scarce; 0 if it isn't.
    pub fn excess(&self) -> u64 {
        self.held().saturating_sub(self.mark())
    }

    /// Whether the limit is reached.
    pub fn is_exhausted(&self) -> bool {
        self.held() >= self.limit()
    }

    /// The most bytes that one holder may hold now without being affected; `u64::MAX` unless memory is scarce.
    pub fn share(&self) -> u64 {
        match self.held() {
            held if held <= self.mark() => u64::MAX,
            held if held < self.limit() => SCARCE_SHARE,
            _ => EXHAUSTED_SHARE,
        }
    }

    /// Waits until memory is scarce.
    pub async fn wait_scarce(&self) {
        while self.excess() == 0 {
            // Keeps a notification that comes before the wait.
            self.became_scarce.notified().await;
        }
    }
}

/// Bytes in an account, which are returned when this is dropped.
#[derive(Debug)]
pub struct Charge {
    account: Arc<MemoryAccount>,
    bytes: u64,
}

impl Charge {
    /// Adds `bytes` to the account.
    pub fn new(account: &Arc<MemoryAccount>, bytes: u64) -> Self {
        account.add(bytes);
        Charge { account: account.clone(), bytes }
    }

    /// Adds more bytes.
    pub fn grow(&mut self, bytes: u64) {
        self.account.add(bytes);
        self.bytes += bytes;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.account.sub(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn share_shrinks_when_memory_is_scarce_and_when_it_is_exhausted() {
        let account = MemoryAccount::new(800);
        for (add, share, excess) in
            [(700, u64::MAX, 0), (1, SCARCE_SHARE, 1), (98, SCARCE_SHARE, 99), (1, EXHAUSTED_SHARE, 100)]
        {
            account.add(add);
            assert_eq!((account.share(), account.excess()), (share, excess), "{} held", account.held());
        }
        account.sub(800);
        assert_eq!((account.share(), account.held()), (u64::MAX, 0));
        let unlimited = MemoryAccount::default();
        unlimited.add(1 << 40);
        assert_eq!((unlimited.share(), unlimited.is_exhausted()), (u64::MAX, false));
    }

    #[tokio::test]
    async fn wait_scarce_returns_after_the_mark_was_passed_before_or_during_the_wait() {
        let account = Arc::new(MemoryAccount::new(800));
        let waiting = tokio::spawn({
            let account = account.clone();
            async move { account.wait_scarce().await }
        });
        account.add(700);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        let charge = Charge::new(&account, 1);
        waiting.await.unwrap();
        account.wait_scarce().await;
        drop(charge);
        assert_eq!(account.excess(), 0);
    }
}
