//! Gateways that share a port, each a process with a Unix socket of its own for its `/status`.

use crate::process::Process;
use aisopod_gateway::SecretDigest;
use serde_json::Value;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The token that every client shows.
pub const TOKEN: &str = "a-token-for-spreading";

/// How long anything but opening all connections may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running gateway.
pub struct Gateway {
    process: Process,
    unix: PathBuf,
}

impl Gateway {
    /// The program.
    pub fn binary() -> &'static Path {
        Path::new(env!("CARGO_BIN_EXE_aisopod-gateway"))
    }

    /// Starts so many on one address, each for so many connections, with their files in a directory.
    pub fn start_all(count: usize, max_connections: usize, dir: &Path) -> (SocketAddr, Vec<Gateway>) {
        let addr = free_addr();
        let gateways: Vec<_> =
            (0..count).map(|number| Self::start(addr, max_connections, &dir.join(number.to_string()))).collect();
        let deadline = Instant::now() + PATIENCE;
        for gateway in &gateways {
            while gateway.try_status().is_err() {
                assert!(Instant::now() < deadline, "a gateway doesn't start");
                thread::sleep(Duration::from_millis(20));
            }
        }
        (addr, gateways)
    }

    fn start(addr: SocketAddr, max_connections: usize, dir: &Path) -> Gateway {
        fs::create_dir(dir).expect("a writable directory");
        let (config, unix) = (dir.join("config.toml"), dir.join("gateway.sock"));
        let digest = SecretDigest::of(TOKEN.as_bytes()).to_hex();
        let settings = format!(
            "listen = [\"{addr}\", \"unix:{}\"]\nlisten_reuse_port = true\nlog_level = \"warn\"\n\
             limits.max_connections = {max_connections}\n[auth]\nmode = \"token\"\n[[auth.credentials]]\n\
             name = \"spread\"\nrole = \"operator\"\ntoken_sha256 = \"{digest}\"\n",
            unix.display()
        );
        fs::write(&config, settings).expect("a writable directory");
        let process = Process::start(Command::new(Self::binary()).arg("--config").arg(&config).stdin(Stdio::null()));
        Gateway { process, unix }
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// `/status`.
    pub fn status(&self) -> Value {
        self.try_status().expect("a gateway that lives")
    }

    fn try_status(&self) -> io::Result<Value> {
        let mut stream = UnixStream::connect(&self.unix)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (_, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(serde_json::from_str(body)?)
    }

    /// How many clients it has.
    pub fn clients(&self) -> usize {
        self.status()["clients"]["total_connections"].as_u64().expect("a count") as usize
    }
}

fn free_addr() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("an address")
}
