//! Notifications to the service manager: readiness, client counts, shutdown. Without a service manager, they do
//! nothing.

use log::debug;
use sd_notify::NotifyState;

/// Notifies `READY=1`: the listeners accept connections.
pub fn ready() {
    notify(&[NotifyState::Ready, NotifyState::Status("ready")]);
}

/// Notifies `STOPPING=1`: the gateway drains.
pub fn stopping() {
    notify(&[NotifyState::Stopping, NotifyState::Status("draining")]);
}

/// Notifies `STATUS=`, the text that `systemctl status` shows.
pub fn status(text: &str) {
    notify(&[NotifyState::Status(text)]);
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        debug!("service manager not notified error={error}");
    }
}
