//! Notifications to the service manager: readiness, status, reload, watchdog, shutdown.

use crate::common::{Gateway, TIMEOUT};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Command;

/// A gateway that notifies the socket of this name.
fn start_notifying(name: impl AsRef<OsStr>) -> Gateway {
    let mut command = Command::new(Gateway::binary());
    command.env("NOTIFY_SOCKET", name);
    Gateway::start_with(command, "")
}

fn receive(socket: &UnixDatagram) -> String {
    let mut bytes = [0; 500];
    let length = socket.recv(&mut bytes).expect("a notification");
    String::from_utf8(bytes[..length].into()).unwrap()
}

fn notify_socket(addr: &SocketAddr) -> UnixDatagram {
    let socket = UnixDatagram::bind_addr(addr).unwrap();
    socket.set_read_timeout(Some(TIMEOUT)).unwrap();
    socket
}

#[test]
fn systemd_is_notified_of_readiness_status_and_stopping() {
    let dir = tempfile::tempdir().unwrap();
    let (path, name) = (dir.path().join("notify"), format!("aisopod-test-{}", std::process::id()));
    let abstract_name = SocketAddr::from_abstract_name(&name).unwrap();
    for (addr, name) in
        [(SocketAddr::from_pathname(&path).unwrap(), path.into()), (abstract_name, OsString::from(format!("@{name}")))]
    {
        let socket = notify_socket(&addr);
        let gateway = start_notifying(&name);
        assert_eq!(receive(&socket), "READY=1\nSTATUS=0 clients: 0 operators, 0 nodes\n", "{name:?}");
        assert_eq!(gateway.status()["status"], "ok", "ready means listening");
        let client = gateway.connect();
        assert_eq!(receive(&socket), "STATUS=1 clients: 1 operators, 0 nodes\n");
        drop(client);
        gateway.signal("TERM");
        loop {
            let message = receive(&socket);
            if message.starts_with("STOPPING=1\n") {
                break;
            }
            assert!(message.starts_with("STATUS="), "{message}");
        }
    }
}

#[test]
fn systemd_is_notified_of_the_begin_and_the_result_of_a_reload() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = notify_socket(&SocketAddr::from_pathname(&path).unwrap());
    let gateway = start_notifying(&path);
    assert!(receive(&socket).starts_with("READY=1\n"));
    for (settings, note) in [
        ("log_level = \"debug\"", String::new()),
        ("listen_reuse_port = true", "; a restart is needed for listen_reuse_port".to_owned()),
        ("log_level = \"debug\"\n[limits]\nmax_connections = \"x\"", {
            let file = gateway.dir().join("config.toml");
            format!("; the last reload failed: {}:4: limits.max_connections = \"x\"; allowed: 1 to ", file.display())
        }),
        ("", String::new()),
    ] {
        let before = uptime();
        gateway.reload(settings);
        let message = receive(&socket);
        let begun_at = message.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap_or_else(|| panic!("{message}"));
        let begun_at: u64 = begun_at.trim_end().parse().unwrap();
        // The clock that /proc/uptime shows also counts the time in which the machine was suspended.
        assert!(begun_at <= uptime() && (before > begun_at + 60_000_000 || before <= begun_at + 10_000), "{message}");
        let message = receive(&socket);
        let expected = format!("READY=1\nSTATUS=0 clients: 0 operators, 0 nodes{note}");
        assert!(message.starts_with(&expected) && message.trim_end().lines().count() == 2, "{message}");
    }
}

/// The time since the machine has booted, in microseconds.
fn uptime() -> u64 {
    let text = fs::read_to_string("/proc/uptime").unwrap();
    let (seconds, hundredths) = text.split(' ').next().unwrap().split_once('.').unwrap();
    // The end of the hundredth.
    seconds.parse::<u64>().unwrap() * 1_000_000 + hundredths.parse::<u64>().unwrap() * 10_000 + 9_999
}

#[test]
fn watchdog_is_notified_only_if_systemd_expects_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = notify_socket(&SocketAddr::from_pathname(&path).unwrap());
    let start = |microseconds: &str, pid: &str| {
        let mut command = Command::new("sh");
        let set_pid = format!("export WATCHDOG_PID={pid}; exec \"$0\" \"$@\"");
        command.args(["-c", &set_pid]).arg(Gateway::binary());
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", microseconds);
        Gateway::start_with(command, "")
    };
    let gateway = start("300000", "$$");
    for _ in 0..5 {
        while receive(&socket) != "WATCHDOG=1\n" {}
    }
    drop(gateway);
    for (microseconds, pid) in [("0", "$$"), ("", "$$"), ("x", "$$"), ("300000", "1")] {
        discard_messages(&socket);
        let gateway = start(microseconds, pid);
        assert!(receive(&socket).starts_with("READY=1\n"));
        // A notification of the watchdog would come first.
        gateway.reload("log_level = \"debug\"");
        assert!(receive(&socket).starts_with("RELOADING=1\n"), "{microseconds} {pid}");
    }
}

fn discard_messages(socket: &UnixDatagram) {
    socket.set_nonblocking(true).unwrap();
    while socket.recv(&mut [0; 500]).is_ok() {}
    socket.set_nonblocking(false).unwrap();
}

/// A service manager that doesn't read fills the socket's queue; a blocking notification would then never return.
#[test]
fn full_notification_socket_delays_readiness_and_does_not_block_the_gateway() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = notify_socket(&SocketAddr::from_pathname(&path).unwrap());
    let filler = UnixDatagram::unbound().unwrap();
    filler.set_nonblocking(true).unwrap();
    let fill = || while filler.send_to(b"filler", &path).is_ok() {};
    fill();
    let gateway = start_notifying(&path);
    assert_eq!(gateway.connect().call("gateway.ping")["result"], "pong");
    let mut message = receive(&socket);
    while message == "filler" {
        message = receive(&socket);
    }
    assert!(message.starts_with("READY=1\n"), "readiness is notified again: {message}");
    fill();
    assert!(gateway.stop().0.success());
}
