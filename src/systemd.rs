//! Notifications to the service manager: readiness, client counts, shutdown. Without a service manager, they do nothing.

use crate::registry::ClientRegistry;
use log::debug;
use sd_notify::NotifyState;
use std::time::Duration;

/// The time between two updates of the counts in `systemctl status`.
const STATUS_INTERVAL: Duration = Duration::from_secs(5);

/// Notifies `READY=1`: the listeners accept connections.
pub fn ready() {
    notify(&[NotifyState::Ready, NotifyState::Status("ready")]);
}

/// Notifies `STOPPING=1`: the gateway drains.
pub fn stopping() {
    notify(&[NotifyState::Stopping, NotifyState::Status("draining")]);
}

/// Updates `STATUS=` whenever the client counts have changed; never returns.
pub async fn report_status(registry: &ClientRegistry) {
    let mut shown = None;
    loop {
        let now = registry.health_snapshot();
        if shown.replace(now) != Some(now) {
            let (total, operators, nodes) = (now.total_connections, now.operators, now.nodes);
            notify(&[NotifyState::Status(&format!("{total} clients: {operators} operators, {nodes} nodes"))]);
        }
        tokio::time::sleep(STATUS_INTERVAL).await;
    }
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        debug!("service manager not notified error={error}");
    }
}
