//! The service manager's watchdog: it is notified only while the gateway works, and otherwise restarts it.

use crate::gateway::Gateway;
use crate::server::drain::Shutdown;
use crate::systemd::notify;
use log::error;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Notifications in the time after which the service manager restarts the gateway. A check may take as long as one
/// interval, so a gateway that is slow once is not restarted.
const CHECKS_PER_TIMEOUT: u32 = 3;

/// Checks the gateway at regular intervals and notifies the service manager, until shutdown. Does nothing if that doesn't
/// expect it.
pub async fn feed(gateway: Gateway, shutdown: watch::Receiver<Shutdown>) {
    let Some(timeout) = notify::watchdog_timeout() else { return };
    let interval = timeout / CHECKS_PER_TIMEOUT;
    let mut next = Instant::now();
    while *shutdown.borrow() == Shutdown::No {
        match gateway.check_liveness(interval).await {
            Ok(()) => notify::alive(),
            Err(part) => error!("not responding, the watchdog isn't notified part={part}"),
        }
        next = (next + interval).max(Instant::now());
        sleep_until(next).await;
    }
}
