//! Notifications to the service manager: readiness, reloads, liveness, shutdown, and the text of its status.

use log::debug;
use sd_notify::NotifyState;
use std::ffi::OsStr;
use std::fmt::Write;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Notifies that the gateway drains.
pub fn stopping() {
    notify("STOPPING=1\nSTATUS=draining\n");
}

/// Notifies that a reload has begun. [`status`] with `is_ready` ends it.
pub fn reloading() {
    let mut message = "RELOADING=1\n".to_owned();
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        // Writing to a string can't fail.
        let _ = writeln!(message, "{now}");
    }
    notify(&message);
}

/// Notifies of the text that `systemctl status` shows, and with `is_ready` also that the listeners accept connections, or
/// that a reload has ended. Returns false if the notification couldn't be sent.
pub fn status(is_ready: bool, text: &str) -> bool {
    let ready = if is_ready { "READY=1\n" } else { "" };
    notify(&format!("{ready}STATUS={text}\n"))
}

/// How long the service manager waits between two calls of [`alive`] before it restarts the gateway (`WatchdogSec=`);
/// `None` if it doesn't wait for any.
pub fn watchdog_timeout() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|timeout| !timeout.is_zero())
}

/// Notifies that the gateway works.
pub fn alive() {
    notify("WATCHDOG=1\n");
}

/// Sends a notification without blocking, since a service manager that doesn't read must not stop the gateway. Returns
/// false if it couldn't be sent: then it is dropped.
fn notify(message: &str) -> bool {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else { return true };
    let sent = send(&name, message.as_bytes());
    if let Err(error) = &sent {
        debug!("service manager not notified error={error}");
    }
    sent.is_ok()
}

fn send(name: &OsStr, message: &[u8]) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    // A datagram is sent whole or not at all.
    socket.send_to_addr(message, &socket_addr(name)?).map(drop)
}

/// The address that `NOTIFY_SOCKET` names: a path, or an abstract name after `@`; see sd_notify(3).
fn socket_addr(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(name),
    }
}
