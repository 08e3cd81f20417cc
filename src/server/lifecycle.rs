//! How far in its life a gateway is, and who waits for the next part of it.

use std::sync::atomic::{AtomicU8, Ordering};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// How far in its life a gateway is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Starting,
    Running,
    /// Nobody new; those there are asked to leave.
    Draining,
    /// Whoever is still there is dropped.
    Aborting,
}

/// The phase of a gateway. Every connection that is no client yet waits for it, in half of what a watch channel takes.
pub(crate) struct Lifecycle {
    now: AtomicU8,
    changed: Notify,
}

impl Lifecycle {
    const ALL: [Phase; 4] = [Phase::Starting, Phase::Running, Phase::Draining, Phase::Aborting];

    pub(crate) fn new() -> Self {
        Lifecycle { now: AtomicU8::new(Phase::Starting as u8), changed: Notify::new() }
    }

    pub(crate) fn set(&self, phase: Phase) {
        self.now.store(phase as u8, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    pub(crate) fn phase(&self) -> Phase {
        Self::ALL[usize::from(self.now.load(Ordering::SeqCst))]
    }

    /// Waits until the next phase begins after this call.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Waits until a later phase than this one has begun.
    pub(crate) async fn wait_past(&self, phase: Phase) {
        loop {
            // Before the look: what is entered from here on is heard.
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
    async fn who_waits_hears_of_a_later_phase_only() {
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
