//! The lifecycle of a gateway: its current phase, and waiting for a later one.

use std::sync::atomic::{AtomicU8, Ordering};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// A phase of a gateway. Phases only advance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// New clients are accepted.
    Running,
    /// No new clients are accepted; those connected are being closed.
    Draining,
    /// The remaining connections are aborted.
    Aborting,
}

/// The current phase of a gateway. Every connection in its handshake waits for a change; waiting on a [`Notify`] takes
/// half as much memory as on a watch channel.
pub struct Lifecycle {
    phase: AtomicU8,
    changed: Notify,
}

impl Lifecycle {
    const ALL: [Phase; 3] = [Phase::Running, Phase::Draining, Phase::Aborting];

    /// A lifecycle in [`Phase::Running`].
    pub fn new() -> Self {
        Lifecycle { phase: AtomicU8::new(Phase::Running as u8), changed: Notify::new() }
    }

    /// Enters a phase, and wakes everything that waits for a change.
    pub fn set(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    /// The current phase.
    pub fn phase(&self) -> Phase {
        Self::ALL[usize::from(self.phase.load(Ordering::SeqCst))]
    }

    /// Completes at the next phase change after this call.
    pub fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Waits until the gateway is in a later phase than this one.
    pub async fn wait_past(&self, phase: Phase) {
        loop {
            // Created before the phase is read, so that no change in between is missed.
            let changed = self.changed();
            if self.phase() > phase {
                return;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn wait_past_completes_at_a_later_phase_only() {
        let lifecycle = std::sync::Arc::new(Lifecycle::new());
        let waiting = tokio::spawn({
            let lifecycle = lifecycle.clone();
            async move { lifecycle.wait_past(Phase::Running).await }
        });
        lifecycle.set(Phase::Running);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        lifecycle.set(Phase::Draining);
        waiting.await.unwrap();
        lifecycle.wait_past(Phase::Running).await;
        assert_eq!(lifecycle.phase(), Phase::Draining);
    }
}
