//! The daemon around the library's gateway: log, listeners, signals, service manager.

use crate::auth::{Credential, Role};
use crate::cli::{self, Command};
use crate::config::{Config, ListenAddr};
use crate::gateway::Gateway;
use crate::rpc::method::scope;
use crate::runtime::build_runtime;
use crate::server::drain::Shutdown;
use crate::server::listener::Listener;
use crate::{logging, systemd};
use log::{error, info, warn};
use std::io::{self, Write, stderr, stdout};
use std::process::ExitCode;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// `EX_IOERR` of sysexits(3).
const EX_IOERR: u8 = 74;

/// Does what the command line asks for, and returns the exit code.
pub fn main() -> ExitCode {
    match cli::parse() {
        Command::Run(config) => run(*config),
        Command::Check(config) => {
            let warnings = config_warnings(&config).map(|warning| format!("warning: {warning}\n"));
            print(&(warnings.collect::<String>() + "the configuration is valid\n"))
        }
        Command::Print(text) => print(&text),
        Command::Fail { code, message } => fail(code, &message),
    }
}

fn print(text: &str) -> ExitCode {
    match stdout().write_all(text.as_bytes()).and_then(|()| stdout().flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(EX_IOERR, &format!("standard output: {error}")),
    }
}

fn fail(code: u8, message: &str) -> ExitCode {
    // Without a standard error the exit code has to do.
    let _ = writeln!(stderr(), "{message}");
    ExitCode::from(code)
}

/// Serves until a signal ends it.
fn run(config: Config) -> ExitCode {
    let served = logging::start(config.log_level).and_then(|()| {
        let runtime = build_runtime()?;
        runtime.block_on(serve(config))
    });
    let code = match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("not started error=\"{error}\"");
            ExitCode::FAILURE
        }
    };
    log::logger().flush();
    code
}

async fn serve(config: Config) -> io::Result<()> {
    let signals = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
    let listeners =
        config.listen.iter().map(|addr| bind(addr, config.listen_reuse_port)).collect::<Result<Vec<_>, _>>()?;
    let operators =
        config.ops.listen.iter().map(|addr| bind(addr, config.listen_reuse_port)).collect::<Result<Vec<_>, _>>()?;
    announce(&config, &listeners, &operators);
    let operators = operators.into_iter().map(Listener::admin_only);
    let listeners = listeners.into_iter().chain(operators).collect();
    let gateway = Gateway::new(config);
    let (stop, shutdown) = watch::channel(Shutdown::No);
    tokio::spawn(stop_on_signals(signals, stop));
    let reporter = tokio::spawn(report(gateway.clone()));
    let drained = gateway.run(listeners, shutdown).await;
    reporter.abort();
    info!("stopped closed={} aborted={}", drained.closed, drained.aborted);
    Ok(())
}

fn bind(addr: &ListenAddr, reuse_port: bool) -> io::Result<Listener> {
    Listener::bind(addr, reuse_port).map_err(|error| io::Error::other(format!("{addr}: {error}")))
}

fn announce(config: &Config, listeners: &[Listener], operators: &[Listener]) {
    let (version, places) = (env!("CARGO_PKG_VERSION"), config.limits.max_connections);
    info!("starting version={version} auth={} max_connections={places}", config.auth.mode());
    config_warnings(config).for_each(|doubt| warn!("{doubt}"));
    listeners.iter().for_each(|listener| info!("listening addr={}", listener.addr()));
    operators.iter().for_each(|listener| info!("listening for=operators addr={}", listener.addr()));
}

/// What is allowed, and hardly meant.
fn config_warnings(config: &Config) -> impl Iterator<Item = String> {
    let is_exposed = || !config.listen.iter().chain(&config.ops.listen).all(ListenAddr::is_local);
    let open = (config.auth.allows_anonymous() && is_exposed()).then(|| {
        "anybody who can reach it is let in with every scope: auth.mode is none, auth.allow_insecure is true".to_owned()
    });
    let credentials = config.auth.credentials();
    let unknown_scopes = |Credential { info, .. }: &Credential| {
        let unknown = info.scopes.iter().filter(|scope| !scope::ALL.contains(&&***scope));
        let doubts = unknown.map(|scope| format!("a scope that no method asks for name={} scope={scope}", info.name));
        doubts.collect::<Vec<_>>()
    };
    let is_used = |role: &Role| credentials.iter().any(|credential| credential.info.role == *role);
    let roles = config.presence.0.iter().map(|(role, _)| role);
    let unused_roles = roles.filter(move |role| matches!(role, Role::Other(_)) && !is_used(role));
    let unused_roles = unused_roles.map(|role| format!("a role in [presence] that no credential has role={role}"));
    open.into_iter().chain(credentials.iter().flat_map(unknown_scopes)).chain(unused_roles)
}

async fn report(gateway: Gateway) {
    systemd::ready();
    systemd::report_status(gateway.registry()).await;
}

/// The first signal drains, the second ends at once.
async fn stop_on_signals([mut terminate, mut interrupt]: [Signal; 2], stop: watch::Sender<Shutdown>) {
    for (told, how) in [(Shutdown::Drain, "drain"), (Shutdown::Now, "now")] {
        let signal = tokio::select! {
            _ = terminate.recv() => "TERM",
            _ = interrupt.recv() => "INT",
        };
        systemd::stopping();
        info!("stopping signal={signal} how={how}");
        stop.send_replace(told);
    }
    // Keeps the channel open: the drain may still be on its way.
    std::future::pending().await
}
