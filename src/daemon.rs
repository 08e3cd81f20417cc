//! The daemon: runs a gateway with logging, listeners, signal handling and systemd notifications.

use crate::check::{check_report, config_warnings};
use crate::cli::{self, Command};
use crate::config::{Config, ListenAddr};
use crate::gateway::Gateway;
use crate::registry::HealthSnapshot;
use crate::runtime::build_runtime;
use crate::server::drain::Shutdown;
use crate::server::listener::Listener;
use crate::signals::Signals;
use crate::{logging, systemd};
use log::{Level, error, info, log_enabled, warn};
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write, stdout};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::process::ExitCode;
use std::time::Duration;
use tokio::sync::watch;

/// The time between two updates of the client counts in `systemctl status`.
const STATUS_INTERVAL: Duration = Duration::from_secs(5);

/// `EX_IOERR` of sysexits(3).
const EX_IOERR: u8 = 74;

/// Runs the program, and returns its exit code.
pub fn main() -> ExitCode {
    match cli::parse() {
        Command::Run(config) => run(*config),
        Command::Check { config, from_file } => print(&check_report(&config, from_file)),
        Command::Print(text) => print(&text),
        // The token would be lost: Rust writes to /dev/null if standard output is closed.
        Command::PrintToken(_) if is_stdout_closed() => fail(EX_IOERR, "standard output is closed"),
        Command::PrintToken(text) => print(&text),
        Command::Fail { code, message } => fail(code, &message),
    }
}

fn print(text: &str) -> ExitCode {
    match stdout().write_all(text.as_bytes()).and_then(|()| stdout().flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(EX_IOERR, &format!("standard output: {error}")),
    }
}

/// Whether standard output was closed when the program started. Rust's runtime has then opened /dev/null in its place,
/// for reading and writing; a shell's `> /dev/null` is open for writing only.
fn is_stdout_closed() -> bool {
    let Ok(stdout) = stdout().as_fd().try_clone_to_owned() else { return true };
    let mut stdout = File::from(stdout);
    let inode = |metadata: io::Result<Metadata>| metadata.map(|metadata| (metadata.dev(), metadata.ino())).ok();
    inode(stdout.metadata()) == inode(fs::metadata("/dev/null")) && stdout.read(&mut [0]).is_ok()
}

fn fail(code: u8, message: &str) -> ExitCode {
    logging::print_error(message);
    ExitCode::from(code)
}

/// Runs the gateway until a signal stops it.
fn run(config: Config) -> ExitCode {
    let served = logging::start(config.log_level).and_then(|()| {
        let runtime = build_runtime()?;
        runtime.block_on(serve(config))
    });
    let code = match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if log_enabled!(Level::Error) => {
            error!("startup failed error=\"{error}\"");
            ExitCode::FAILURE
        }
        // Either log_level is "off", or the log itself couldn't be started.
        Err(error) => fail(1, &format!("startup failed: {error}")),
    };
    log::logger().flush();
    code
}

async fn serve(config: Config) -> io::Result<()> {
    let signals = Signals::handle()?;
    let listeners = bind_all(&config.listen, config.listen_reuse_port)?;
    let admin_listeners = bind_all(&config.ops.listen, config.listen_reuse_port)?;
    log_startup(&config, &listeners, &admin_listeners);
    let admin_listeners = admin_listeners.into_iter().map(Listener::admin_only);
    let listeners = listeners.into_iter().chain(admin_listeners).collect();
    let gateway = Gateway::new(config);
    let (stop, shutdown) = watch::channel(Shutdown::No);
    tokio::spawn(stop_on_signals(signals, stop));
    let notifier = tokio::spawn(notify_systemd(gateway.clone(), shutdown.clone()));
    let drained = gateway.run(listeners, shutdown).await;
    notifier.abort();
    info!("stopped closed={} aborted={}", drained.closed, drained.aborted);
    Ok(())
}

fn bind_all(addrs: &[ListenAddr], reuse_port: bool) -> io::Result<Vec<Listener>> {
    let bind = |addr| Listener::bind(addr, reuse_port).map_err(|error| io::Error::other(format!("{addr}: {error}")));
    addrs.iter().map(bind).collect()
}

fn log_startup(config: &Config, listeners: &[Listener], admin_listeners: &[Listener]) {
    let (version, max_connections) = (env!("CARGO_PKG_VERSION"), config.limits.max_connections);
    info!("starting version={version} auth={} max_connections={max_connections}", config.auth.mode());
    for warning in config_warnings(config) {
        warn!("{warning}");
    }
    for listener in listeners {
        info!("listening addr={}", listener.addr());
    }
    for listener in admin_listeners {
        info!("listening role=admin addr={}", listener.addr());
    }
}

/// Notifies systemd that the gateway is ready, and of the client counts whenever they have changed, until shutdown.
async fn notify_systemd(gateway: Gateway, shutdown: watch::Receiver<Shutdown>) {
    let mut shown = None;
    while notify_running(&gateway, &shutdown, &mut shown) {
        tokio::time::sleep(STATUS_INTERVAL).await;
    }
}

/// Notifies systemd of the client counts if they aren't those shown, the first time also of readiness. Returns false,
/// and does nothing, once a shutdown has been requested.
fn notify_running(gateway: &Gateway, shutdown: &watch::Receiver<Shutdown>, shown: &mut Option<HealthSnapshot>) -> bool {
    // The borrow is a read lock, held until this function returns: a shutdown can be requested, and systemd notified of
    // it, only after this notification. No shutdown waits for long, since the notification doesn't block.
    let shutdown = shutdown.borrow();
    if *shutdown != Shutdown::No {
        return false;
    }
    let counts = gateway.registry().health_snapshot();
    if *shown != Some(counts) {
        let (total, operators, nodes) = (counts.total_connections, counts.operators, counts.nodes);
        let status = format!("{total} clients: {operators} operators, {nodes} nodes");
        // A notification that wasn't sent, readiness above all, is tried again next time.
        if systemd::notify_running(shown.is_none(), &status) {
            *shown = Some(counts);
        }
    }
    true
}

/// The first signal starts a drain, the second aborts it.
async fn stop_on_signals(mut signals: Signals, stop: watch::Sender<Shutdown>) {
    for (shutdown, mode) in [(Shutdown::Drain, "drain"), (Shutdown::Now, "now")] {
        let signal = signals.stop_requested().await;
        info!("stopping signal={signal} mode={mode}");
        stop.send_replace(shutdown);
        systemd::notify_stopping();
    }
    // Keeps the channel open while the shutdown continues.
    std::future::pending().await
}
