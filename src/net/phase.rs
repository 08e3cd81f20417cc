//! How far in its life a gateway is, and who waits for the next part of it.

use std::sync::atomic::{AtomicU8, Ordering};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// How far in its life a gateway is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Starting,
    Running,
    /// Nobody new; those there are asked to leave.
    Draining,
    /// Whoever is still there is dropped.
    Cut,
}

/// The phase of a gateway. Every connection that is no client yet waits for it, in half of what a watch channel takes.
pub(super) struct Phases {
    now: AtomicU8,
    changed: Notify,
}

impl Phases {
    const ALL: [Phase; 4] = [Phase::Starting, Phase::Running, Phase::Draining, Phase::Cut];

    pub(super) fn new() -> Self {
        Phases { now: AtomicU8::new(Phase::Starting as u8), changed: Notify::new() }
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.now.store(phase as u8, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    pub(super) fn now(&self) -> Phase {
        Self::ALL[usize::from(self.now.load(Ordering::SeqCst))]
    }

    /// Waits until the next phase begins after this call.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Waits until a later phase than this one has begun.
    pub(super) async fn left(&self, phase: Phase) {
        loop {
            // Before the look: what is entered from here on is heard.
            let changed = self.changed();
            if self.now() > phase {
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
        let phases = std::sync::Arc::new(Phases::new());
        let waiting = tokio::spawn({
            let phases = phases.clone();
            async move { phases.left(Phase::Running).await }
        });
        phases.enter(Phase::Running);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        phases.enter(Phase::Draining);
        waiting.await.unwrap();
        phases.left(Phase::Running).await;
        assert_eq!(phases.now(), Phase::Draining);
    }
}
