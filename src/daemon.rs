//! The daemon: runs a gateway with logging, listeners, signal handling and a service manager.

mod reload;
mod service_status;
mod watchdog;

use crate::check::{check_report, config_warnings};
use crate::cli::{self, Command, ConfigSource, EX_CONFIG};
use crate::config::{Config, ConfigError, ListenAddr};
use crate::gateway::Gateway;
use crate::logging;
use crate::runtime::build_runtime;
use crate::server::drain::Shutdown;
use crate::server::listener::Listener;
use crate::signals::{Action, Signals};
use crate::systemd::notify;
use crate::systemd::sockets::PassedSockets;
use log::{Level, error, info, log_enabled, warn};
use reload::{Reloader, log_unused};
use service_status::ServiceStatus;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write, stdout};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::sync::watch;

/// `EX_IOERR` of sysexits(3).
const EX_IOERR: u8 = 74;

/// Runs the program, and returns its exit code.
pub fn main() -> ExitCode {
    match cli::parse() {
        Command::Run { config, source } => run(*config, source),
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

/// Why the gateway couldn't start, with the exit code.
struct StartError {
    code: u8,
    message: String,
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        StartError { code: 1, message: error.to_string() }
    }
}

impl From<ConfigError> for StartError {
    fn from(error: ConfigError) -> Self {
        StartError { code: EX_CONFIG, message: error.to_string() }
    }
}

/// Runs the gateway until a signal stops it.
fn run(config: Config, source: ConfigSource) -> ExitCode {
    let served = logging::start(config.log_level).map_err(StartError::from).and_then(|()| {
        let runtime = build_runtime()?;
        runtime.block_on(serve(config, source))
    });
    let code = match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(StartError { code, message }) if log_enabled!(Level::Error) => {
            error!("startup failed error=\"{message}\"");
            ExitCode::from(code)
        }
        // Either log_level is "off", or the log itself couldn't be started.
        Err(StartError { code, message }) => fail(code, &format!("startup failed: {message}")),
    };
    log::logger().flush();
    code
}

async fn serve(mut config: Config, source: ConfigSource) -> Result<(), StartError> {
    let signals = Signals::handle()?;
    let passed = PassedSockets::take()?;
    let addresses = passed.addresses();
    let unused = addresses.replace_in(&mut config);
    log_start(&config);
    log_unused(&unused);
    if let Some(problem) = config.exposure_error() {
        return Err(ConfigError::new("a socket that systemd passed", problem).into());
    }
    let listeners = [
        listen(passed.clients, &config.listen, config.listen_reuse_port, "")?,
        listen(passed.ops, &config.ops.listen, config.listen_reuse_port, "role=admin ")?
            .into_iter()
            .map(Listener::admin_only)
            .collect(),
    ];
    let gateway = Gateway::new(config);
    let (stop, shutdown) = watch::channel(Shutdown::No);
    let status = Arc::new(ServiceStatus::new(gateway.clone(), shutdown.clone()));
    let running = tokio::sync::Mutex::default();
    let reloader = Reloader { gateway: gateway.clone(), source, addresses, status: status.clone(), running };
    let tasks = [
        tokio::spawn(handle_signals(signals, stop, Arc::new(reloader))),
        tokio::spawn(async move { status.keep_updated().await }),
        tokio::spawn(watchdog::feed(gateway.clone(), shutdown.clone())),
    ];
    let drained = gateway.run(listeners.into_iter().flatten().collect(), shutdown).await;
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    info!("stopped closed={} aborted={}", drained.closed, drained.aborted);
    Ok(())
}

fn log_start(config: &Config) {
    let (version, max_connections) = (env!("CARGO_PKG_VERSION"), config.limits.max_connections);
    info!("starting version={version} auth={} max_connections={max_connections}", config.auth.mode());
    for warning in config_warnings(config) {
        warn!("{warning}");
    }
}

/// The passed listeners, or if there are none, new ones at these addresses. Logs each, with `label`.
fn listen(passed: Vec<Listener>, addrs: &[ListenAddr], reuse_port: bool, label: &str) -> io::Result<Vec<Listener>> {
    let (listeners, origin) = if passed.is_empty() {
        let bind =
            |addr| Listener::bind(addr, reuse_port).map_err(|error| io::Error::other(format!("{addr}: {error}")));
        (addrs.iter().map(bind).collect::<io::Result<_>>()?, "")
    } else {
        (passed, " passed_by=systemd")
    };
    for listener in &listeners {
        info!("listening {label}addr={}{origin}", listener.addr());
    }
    Ok(listeners)
}

/// The first signal to stop starts a drain, the second aborts it. Others reload the configuration.
async fn handle_signals(mut signals: Signals, stop: watch::Sender<Shutdown>, reloader: Arc<Reloader>) {
    let mut steps = [(Shutdown::Drain, "drain"), (Shutdown::Now, "now")].into_iter();
    loop {
        match signals.next_action().await {
            Action::Stop(signal) => {
                let Some((shutdown, mode)) = steps.next() else { continue };
                info!("stopping signal={signal} mode={mode}");
                stop.send_replace(shutdown);
                notify::stopping();
            }
            // A task of its own: a file that can't be read for a long time must not delay a shutdown.
            Action::Reload if *stop.borrow() == Shutdown::No => drop(tokio::spawn(reloader.clone().reload())),
            Action::Reload => warn!("reload is ignored during a shutdown"),
            #[cfg(feature = "test-hangs")]
            Action::Hang => reloader.gateway.hang(),
        }
    }
}
