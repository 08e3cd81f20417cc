//! Socket activation: the listening sockets that systemd opens and passes, see sd_listen_fds(3). They stay open while the
//! gateway restarts, so no connection is refused meanwhile.

use crate::config::{Config, ListenAddr};
use crate::server::listener::Listener;
use std::io;

/// The names of sockets (`FileDescriptorName=`): those for clients, and those for `/status` and the admin API.
const CLIENTS: &str = "clients";
const OPS: &str = "ops";
/// The name that systemd-socket-activate(1) gives to sockets.
const UNKNOWN: &str = "unknown";

/// The sockets that systemd has passed.
#[derive(Default)]
pub struct PassedSockets {
    /// Those that replace `listen`.
    pub clients: Vec<Listener>,
    /// Those that replace `ops.listen`.
    pub ops: Vec<Listener>,
}

/// The addresses of passed sockets. An empty list replaces nothing.
#[derive(Clone, Default)]
pub struct PassedAddresses {
    pub clients: Vec<ListenAddr>,
    pub ops: Vec<ListenAddr>,
}

impl PassedSockets {
    /// Takes the sockets. Must be called at most once, in a tokio runtime.
    ///
    /// # Errors
    /// The environment is invalid, or a socket has another name, or doesn't listen for streams.
    pub fn take() -> io::Result<Self> {
        let mut passed = PassedSockets::default();
        for (name, socket) in sd_listen_fds::get().map_err(io::Error::other)? {
            let name = name.as_deref().unwrap_or(UNKNOWN);
            let listeners = match name {
                CLIENTS | UNKNOWN => &mut passed.clients,
                OPS => &mut passed.ops,
                _ => return Err(invalid(name, "allowed: FileDescriptorName=clients, FileDescriptorName=ops")),
            };
            listeners.push(Listener::from_socket(socket.into_std()).map_err(|error| invalid(name, error))?);
        }
        Ok(passed)
    }

    /// The addresses of the sockets.
    pub fn addresses(&self) -> PassedAddresses {
        let addresses = |listeners: &[Listener]| listeners.iter().map(|listener| listener.addr().clone()).collect();
        PassedAddresses { clients: addresses(&self.clients), ops: addresses(&self.ops) }
    }
}

impl PassedAddresses {
    /// Replaces the addresses of a configuration. Returns the settings, other than defaults, that aren't used therefore.
    pub fn replace_in(&self, config: &mut Config) -> Vec<&'static str> {
        let default = Config::new(0);
        let settings = [
            ("listen", &self.clients, &mut config.listen, default.listen),
            ("ops.listen", &self.ops, &mut config.ops.listen, default.ops.listen),
        ];
        let mut unused = Vec::new();
        for (setting, passed, configured, default) in settings {
            if passed.is_empty() {
                continue;
            }
            if configured != passed && *configured != default {
                unused.push(setting);
            }
            configured.clone_from(passed);
        }
        unused
    }
}

fn invalid(name: &str, problem: impl std::fmt::Display) -> io::Error {
    io::Error::other(format!("the socket that systemd passed as \"{name}\": {problem}"))
}
