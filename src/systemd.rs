//! Notifications to the service manager: readiness, client counts, shutdown. Without a service manager, they do
//! nothing.

use log::debug;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Notifies that the gateway drains.
pub fn notify_stopping() {
    notify("STOPPING=1\nSTATUS=draining\n");
}

/// Notifies of the text that `systemctl status` shows, and with `ready` also that the listeners accept connections.
/// Returns false if the notification couldn't be sent.
pub fn notify_running(ready: bool, status: &str) -> bool {
    let ready = if ready { "READY=1\n" } else { "" };
    notify(&format!("{ready}STATUS={status}\n"))
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
