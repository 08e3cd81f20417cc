//! The gateway under attack: its configuration, and its process.

use crate::failure_of;
use load::failure::Failure;
use load::handshake;
use load::options::Options;
use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use test_support::proc;

/// Bound of the wait until the gateway accepts connections.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// The most connections that the gateway accepts.
pub const MAX_CONNECTIONS: usize = 4000;

/// Who a connection says it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Credential {
    /// Nobody: no credential is sent.
    None,
    /// An operator with all scopes: a healthy client.
    Healthy,
    /// An operator without any scope.
    Plain,
    /// An operator that may list clients.
    Reader,
    /// An operator that may publish events.
    Publisher,
    /// An operator that may call nodes.
    Caller,
    /// A node that is called.
    Stalled,
    /// A node that nobody calls.
    Node,
}

impl Credential {
    /// Name, role and scopes of each credential.
    const ALL: [(Credential, &str, &str, &str); 7] = [
        (Credential::Healthy, "healthy", "operator", r#""*""#),
        (Credential::Plain, "plain", "operator", ""),
        (Credential::Reader, "reader", "operator", r#""clients:read""#),
        (Credential::Publisher, "publisher", "operator", r#""events:publish""#),
        (Credential::Caller, "caller", "operator", r#""nodes:invoke""#),
        (Credential::Stalled, "stalled", "node", ""),
        (Credential::Node, "node", "node", ""),
    ];

    /// The request of a client's handshake.
    pub fn request(self, addr: SocketAddrV4) -> Vec<u8> {
        let options = Options { addr, token: self.token(), ..Options::default() };
        handshake::request(&options, "/ws")
    }

    /// The bearer token, if there is one.
    pub fn token(self) -> Option<String> {
        let (_, name, ..) = Credential::ALL.iter().find(|(credential, ..)| *credential == self)?;
        Some(token_of(name))
    }
}

fn token_of(name: &str) -> String {
    format!("the-token-of-the-hostile-benchmark-{name}")
}

/// The whole configuration. Everything that isn't set here has its default: an attack is measured against the gateway
/// that is installed. Attackers come from loopback addresses.
fn config_text(addresses: Addresses) -> String {
    let Addresses { clients, ops } = addresses;
    let mut text = format!(
        r#"
listen = ["{clients}"]
log_level = "warn"
[ops]
listen = ["{ops}"]
[limits]
# Few enough that silent connections can fill them.
max_connections = {MAX_CONNECTIONS}
[presence]
# Several attackers are one node.
node = "allow"
[auth]
mode = "token"
"#
    );
    for (_, name, role, scopes) in Credential::ALL {
        text.push_str(&format!(
            r#"
[[auth.credentials]]
name = "{name}"
role = "{role}"
scopes = [{scopes}]
token_file = "{name}.token"
"#
        ));
    }
    text
}

/// Where the gateway listens.
#[derive(Clone, Copy)]
pub struct Addresses {
    /// For clients.
    pub clients: SocketAddrV4,
    /// For `/status` and the admin API.
    pub ops: SocketAddrV4,
}

/// A running gateway, killed when dropped.
pub struct Gateway {
    process: Child,
    pub addresses: Addresses,
    /// Its configuration and token files.
    _dir: tempfile::TempDir,
}

impl Gateway {
    /// Starts this program, on this core only if there is one, and waits until it accepts connections.
    pub fn start(binary: &Path, core: Option<usize>) -> Result<Gateway, Failure> {
        let dir = tempfile::tempdir().map_err(failure_of("a temporary directory"))?;
        let addresses = Addresses { clients: free_addr()?, ops: free_addr()? };
        for (_, name, ..) in Credential::ALL {
            write_private(&dir.path().join(format!("{name}.token")), &token_of(name))?;
        }
        let config = dir.path().join("config.toml");
        write_private(&config, &config_text(addresses))?;
        let mut command = match core {
            None => Command::new(binary),
            Some(core) => {
                // taskset executes the program in its own process: the child's PID is the program's.
                let mut command = Command::new("taskset");
                command.args(["--cpu-list", &core.to_string()]).arg(binary);
                command
            }
        };
        let command = command.arg("--config").arg(&config).stdin(Stdio::null());
        let process = command.spawn().map_err(failure_of(binary.display()))?;
        let mut gateway = Gateway { process, addresses, _dir: dir };
        gateway.wait_until_ready()?;
        Ok(gateway)
    }

    fn wait_until_ready(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + START_TIMEOUT;
        let Addresses { clients, ops } = self.addresses;
        while TcpStream::connect(clients).is_err() || TcpStream::connect(ops).is_err() {
            if !self.is_running()? || Instant::now() > deadline {
                return Err(Failure("the gateway didn't start".to_owned()));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Whether the process hasn't ended.
    pub fn is_running(&mut self) -> Result<bool, Failure> {
        Ok(self.process.try_wait().map_err(failure_of("the gateway"))?.is_none())
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// CPU time used so far.
    pub fn cpu_time(&self) -> Result<Duration, Failure> {
        proc::cpu_time(self.pid()).map_err(failure_of("CPU time"))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A free address.
fn free_addr() -> Result<SocketAddrV4, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failure_of("a free port"))?;
    let port = listener.local_addr().map_err(failure_of("a free port"))?.port();
    Ok(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))
}

/// Writes a file that only the user may read: the gateway rejects a token file that others can access.
fn write_private(path: &Path, text: &str) -> Result<(), Failure> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(failure_of(path.display()))
}
