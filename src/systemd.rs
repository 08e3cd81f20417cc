//! What the service manager is told: ready, how many clients, stopping. Nothing where there is none.

use crate::registry::ClientRegistry;
use log::debug;
use sd_notify::NotifyState;
use std::time::Duration;

/// How often the counts in `systemctl status` may be renewed.
const STATUS_INTERVAL: Duration = Duration::from_secs(5);

/// The listeners accept.
pub fn ready() {
    notify(&[NotifyState::Ready, NotifyState::Status("ready")]);
}

/// The gateway drains.
pub fn stopping() {
    notify(&[NotifyState::Stopping, NotifyState::Status("draining")]);
}

/// Keeps `STATUS=` at the counts, for as long as it is polled.
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
