//! What `systemctl status` shows of the gateway: how many clients are connected, and what has become of the last reload.

use crate::gateway::Gateway;
use crate::server::drain::Shutdown;
use crate::systemd::notify;
use parking_lot::Mutex;
use std::time::Duration;
use tokio::sync::watch;

/// The time between two updates of the counts.
const INTERVAL: Duration = Duration::from_secs(5);

/// The status as the service manager has it.
pub struct ServiceStatus {
    gateway: Gateway,
    shutdown: watch::Receiver<Shutdown>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What the service manager was notified of last; `None` until it knows that the gateway is ready.
    shown: Option<String>,
    /// What follows the counts.
    note: String,
}

impl ServiceStatus {
    /// The service manager doesn't know yet that the gateway is ready.
    pub fn new(gateway: Gateway, shutdown: watch::Receiver<Shutdown>) -> Self {
        ServiceStatus { gateway, shutdown, state: Mutex::default() }
    }

    /// Notifies the service manager that the gateway is ready, and of the status whenever it has changed, until shutdown.
    pub async fn keep_updated(&self) {
        while self.update() {
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Notifies the service manager that a reload has ended. `note` follows the counts from now on, unless it is empty.
    pub fn end_reload(&self, note: String) {
        *self.state.lock() = State { shown: None, note };
        self.update();
    }

    /// Notifies the service manager of the status if that has changed. Returns false, and does nothing, once a shutdown
    /// has been requested.
    fn update(&self) -> bool {
        // The borrow is a read lock, held until this function returns: a shutdown can be requested, and the service
        // manager notified of it, only after this notification. No shutdown waits for long, since the notification
        // doesn't block.
        let shutdown = self.shutdown.borrow();
        if *shutdown != Shutdown::No {
            return false;
        }
        let mut state = self.state.lock();
        let counts = self.gateway.registry().health_snapshot();
        let (total, operators, nodes) = (counts.total_connections, counts.operators, counts.nodes);
        let separator = if state.note.is_empty() { "" } else { "; " };
        let text = format!("{total} clients: {operators} operators, {nodes} nodes{separator}{}", state.note);
        let is_ready = state.shown.is_none();
        // A notification that wasn't sent, readiness above all, is tried again next time.
        if state.shown.as_ref() != Some(&text) && notify::status(is_ready, &text) {
            state.shown = Some(text);
        }
        true
    }
}
