//! nginx, HAProxy or Caddy as a process, configured with the text of `systemd/README.md`.

use super::packages::Package;
use crate::common::process::{Lines, Process, kill_group};
use crate::common::{Gateway, tools, wait_until};
use crate::docs::{OPERATION, blocks, code_spans, section};
use serde_json::Value;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A proxy program with its documented configuration.
pub struct Kind {
    program: &'static str,
    /// Its arguments; the configuration is `proxy.conf` in the current directory.
    arguments: &'static [&'static str],
    /// Whether it accepts connections on a socket that it inherits.
    inherits_socket: bool,
    /// The signal that makes it read its configuration again.
    reload: &'static str,
    /// What it logs when its old processes stop accepting connections after that.
    reloaded: &'static str,
    /// Its status for a path that it doesn't pass on.
    pub other_path: &'static str,
    /// The directive with the gateway's address in the documented configuration, and the one for a Unix socket.
    over_tcp: &'static str,
    over_unix: &'static str,
    /// What names its address and its certificate in the documented configuration, and what replaces that; `LISTEN` is the
    /// address.
    listen: [&'static str; 2],
    /// The lines around the documented configuration; `LISTEN` is the address.
    before: &'static str,
    after: &'static str,
}

pub const NGINX: Kind = Kind {
    program: "nginx",
    arguments: &["-p", ".", "-c", "proxy.conf", "-e", "stderr"],
    inherits_socket: true,
    reload: "HUP",
    reloaded: "gracefully shutting down",
    other_path: "404",
    over_tcp: "proxy_pass http://127.0.0.1:8080;",
    over_unix: "proxy_pass http://unix:/run/aisopod-gateway.sock:;",
    listen: ["", ""],
    // Its workers run as root, to reach the gateway's socket. Started by another user, it ignores that.
    before: "user root; daemon off; pid nginx.pid; error_log stderr notice; events {}
        http {
            access_log off; client_body_temp_path body; proxy_temp_path proxy;
            fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
            server {
                listen LISTEN ssl; ssl_certificate gateway.pem; ssl_certificate_key gateway.pem;",
    after: "}}",
};

pub const HAPROXY: Kind = Kind {
    program: "haproxy",
    arguments: &["-W", "-db", "-f", "proxy.conf"],
    inherits_socket: true,
    reload: "USR2",
    reloaded: "Proxy gateway stopped",
    other_path: "403",
    over_tcp: "server gateway 127.0.0.1:8080",
    over_unix: "server gateway unix@/run/aisopod-gateway.sock",
    listen: ["bind :443 ssl crt /etc/haproxy/", "bind fd@3 ssl crt "],
    before: "",
    after: "",
};

pub const CADDY: Kind = Kind {
    program: "caddy",
    arguments: &["run", "--config", "proxy.conf", "--adapter", "caddyfile"],
    inherits_socket: false,
    reload: "USR1",
    reloaded: "",
    other_path: "200",
    over_tcp: "reverse_proxy /ws 127.0.0.1:8080",
    over_unix: "reverse_proxy /ws unix//run/aisopod-gateway.sock",
    listen: ["gateway.example.com {", "https://LISTEN {\n tls gateway.pem gateway.pem"],
    before: "{\n admin off\n auto_https disable_redirects\n}\n",
    after: "",
};

/// How the proxy reaches the gateway.
#[derive(Clone, Copy)]
pub enum Upstream {
    Tcp,
    Unix,
}

impl Kind {
    /// The documented configuration for this gateway, with another idle timeout.
    fn configuration(&self, addr: SocketAddr, gateway: &Gateway, upstream: Upstream, idle_timeout: &str) -> String {
        let text = section(OPERATION, "## Behind a proxy");
        let (_, block) = blocks(text).into_iter().find(|(language, _)| *language == self.program).expect("an example");
        assert!(code_spans(text).any(|span| span == self.over_unix), "no {}", self.over_unix);
        let server = match upstream {
            Upstream::Tcp => self.over_tcp.replace("127.0.0.1:8080", &gateway.addr().to_string()),
            Upstream::Unix => {
                self.over_unix.replace("/run/aisopod-gateway.sock", gateway.unix_path().to_str().expect("UTF-8"))
            }
        };
        let block = replace(block, self.over_tcp, &server).replace("90s", idle_timeout);
        let block = if self.listen[0].is_empty() { block } else { replace(&block, self.listen[0], self.listen[1]) };
        let text = format!("{}\n{block}\n{}\n", self.before, self.after);
        text.replace("LISTEN", &addr.to_string())
    }
}

/// Replaces what must be there.
fn replace(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "no {from} in {text}");
    text.replace(from, to)
}

/// A running proxy with TLS on a free port. Killed when dropped.
pub struct Proxy {
    child: Child,
    log: Lines,
    dir: tempfile::TempDir,
    kind: &'static Kind,
    pub addr: SocketAddr,
}

impl Proxy {
    /// Starts a proxy in front of a gateway, if it is installed.
    pub fn start(kind: &'static Kind, gateway: &Gateway, upstream: Upstream, idle_timeout: &str) -> Option<Proxy> {
        let program = tools::require(kind.program)?;
        let dir = tempfile::tempdir().expect("a temporary directory");
        create_certificate(dir.path())?;
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().unwrap();
        let configuration = kind.configuration(addr, gateway, upstream, idle_timeout);
        std::fs::write(dir.path().join("proxy.conf"), configuration).expect("a writable directory");
        // The listening socket becomes descriptor 3: nginx finds it by its address, HAProxy by its number.
        let mut command = Command::new("sh");
        command.args(["-c", "exec 3<&0 0</dev/null && exec \"$0\" \"$@\""]).arg(program).args(kind.arguments);
        command.env("NGINX", "3;").env("HOME", dir.path()).current_dir(dir.path()).process_group(0);
        match kind.inherits_socket {
            true => command.stdin(OwnedFd::from(listener)),
            // It binds the port anew, which stays free for this moment.
            false => {
                drop(listener);
                command.stdin(Stdio::null())
            }
        };
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the proxy starts");
        let log = Lines::collect(child.stderr.take());
        if !kind.inherits_socket {
            wait_until("the proxy listens", || TcpStream::connect(addr).is_ok());
        }
        Some(Proxy { child, log, dir, kind, addr })
    }

    /// The file with the self-signed certificate.
    fn certificate(&self) -> PathBuf {
        self.dir.path().join("gateway.pem")
    }

    /// Starts a client. Its first line is the result of the handshake.
    pub fn connect(&self, package: &Package, credential: &[&str]) -> Option<(Process, Value)> {
        package.connect_tls(self.addr, &self.certificate(), credential)
    }

    /// Runs curl with these arguments after the options for TLS. Returns its output.
    pub fn curl(&self, arguments: &[&str]) -> Option<Process> {
        let mut command = Command::new(tools::require("curl")?);
        command.args(["-sS", "--noproxy", "*", "--http1.1", "--cacert"]).arg(self.certificate()).args(arguments);
        Some(Process::start(&mut command))
    }

    /// Opens a connection with TLS and nothing else: what is written is sent, what is received is read.
    pub fn open_tls(&self) -> Option<Process> {
        let mut command = Command::new(tools::require("openssl")?);
        command.args(["s_client", "-quiet", "-verify_return_error", "-CAfile"]).arg(self.certificate());
        Some(Process::start(command.args(["-connect", &self.addr.to_string()])))
    }

    /// Reloads the configuration and waits until no old process accepts connections.
    pub fn reload(&self) {
        let mut signalled: Option<Instant> = None;
        wait_until("the end of the reload", || {
            // HAProxy loses a signal that comes just after its start.
            if signalled.is_none_or(|at| at.elapsed() > Duration::from_secs(2)) {
                let kill = ["-s", self.kind.reload, &self.child.id().to_string()];
                assert!(Command::new("kill").args(kill).status().expect("kill").success());
                signalled = Some(Instant::now());
            }
            self.log.all().iter().any(|line| line.contains(self.kind.reloaded))
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        kill_group(&mut self.child);
    }
}

/// Creates `gateway.pem` with a key and its self-signed certificate, if openssl is installed.
fn create_certificate(dir: &Path) -> Option<()> {
    let mut command = Command::new(tools::require("openssl")?);
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]);
    command.args(["-subj", "/CN=gateway", "-addext", "subjectAltName=IP:127.0.0.1"]);
    let output = command.args(["-keyout", "gateway.pem", "-out", "gateway.pem"]).current_dir(dir).output();
    let output = output.expect("openssl");
    assert!(output.status.success(), "{output:?}");
    Some(())
}
