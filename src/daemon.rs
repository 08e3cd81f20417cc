//! The daemon: runs a gateway with logging, listeners, signal handling and systemd notifications.

use crate::auth::{Credential, Role};
use crate::cli::{self, Command, DEFAULT_FILE};
use crate::config::{Config, ListenAddr, did_you_mean};
use crate::gateway::Gateway;
use crate::registry::HealthSnapshot;
use crate::rpc::method::scope;
use crate::runtime::build_runtime;
use crate::server::drain::Shutdown;
use crate::server::listener::Listener;
use crate::{logging, systemd};
use log::{Level, error, info, log_enabled, warn};
use std::io::{self, Write, stderr, stdout};
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
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
        Command::Fail { code, message } => fail(code, &message),
    }
}

/// What `--check` prints for a valid configuration.
fn check_report(config: &Config, from_file: bool) -> String {
    let mut report = String::new();
    if !from_file {
        report += &format!("checked the defaults: no --config, and no {DEFAULT_FILE}\n");
    }
    for warning in config_warnings(config) {
        report += &format!("warning: {warning}\n");
    }
    report + "the configuration is valid\n"
}

fn print(text: &str) -> ExitCode {
    match stdout().write_all(text.as_bytes()).and_then(|()| stdout().flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(EX_IOERR, &format!("standard output: {error}")),
    }
}

fn fail(code: u8, message: &str) -> ExitCode {
    // If standard error is closed, the exit code is all that can be reported.
    let _ = writeln!(stderr(), "{message}");
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
    let signals = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
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

/// Warnings about settings that are valid but probably mistakes.
fn config_warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    let is_exposed = !config.listen.iter().chain(&config.ops.listen).all(ListenAddr::is_local);
    if config.auth.allows_anonymous() && is_exposed {
        let message = "other machines can connect without credentials and get every scope: auth.mode is \"none\" and \
                       auth.allow_insecure is true";
        warnings.push(message.to_owned());
    }
    let credentials = config.auth.credentials();
    warnings.extend(credentials.iter().flat_map(credential_warnings));
    let used_roles = || credentials.iter().map(|credential| &credential.info.role);
    for (role, _) in &config.presence.0 {
        if matches!(role, Role::Other(_)) && used_roles().all(|used| used != role) {
            let known_roles = ["operator", "node"].into_iter().chain(used_roles().map(Role::as_str));
            let suggestion = did_you_mean(role.as_str(), known_roles);
            warnings.push(format!("presence.{role}: no credential has the role {role}{suggestion}"));
        }
    }
    warnings
}

/// Warnings about unknown scopes and a probably misspelt role.
fn credential_warnings(credential: &Credential) -> Vec<String> {
    let name = &credential.info.name;
    let mut warnings = Vec::new();
    if let Role::Other(role) = &credential.info.role {
        let suggestion = did_you_mean(role, ["operator", "node"]);
        if !suggestion.is_empty() {
            warnings.push(format!("credential {name}: unusual role {role}{suggestion}"));
        }
    }
    for unknown in credential.info.scopes.iter().filter(|name| !scope::ALL.contains(&&***name)) {
        let suggestion = did_you_mean(unknown, scope::ALL.iter().copied());
        warnings.push(format!("credential {name}: unknown scope {unknown}{suggestion}"));
    }
    warnings
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
async fn stop_on_signals([mut terminate, mut interrupt]: [Signal; 2], stop: watch::Sender<Shutdown>) {
    for (shutdown, mode) in [(Shutdown::Drain, "drain"), (Shutdown::Now, "now")] {
        let signal = tokio::select! {
            _ = terminate.recv() => "TERM",
            _ = interrupt.recv() => "INT",
        };
        info!("stopping signal={signal} mode={mode}");
        stop.send_replace(shutdown);
        systemd::notify_stopping();
    }
    // Keeps the channel open while the shutdown continues.
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{AuthInfo, Authenticator, SecretDigest};
    use crate::config::{PresencePolicies, PresencePolicy};
    use std::sync::Arc;

    fn with_credential(role: &str, scopes: &[&str]) -> Config {
        let info = AuthInfo::new("pi", Role::from(role), scopes.iter().map(|scope| (*scope).into()));
        let credential = Credential { info: Arc::new(info), digest: SecretDigest::of(b"secret") };
        Config { auth: Authenticator::Token(vec![credential]), ..Config::new(1024) }
    }

    #[test]
    fn check_without_a_file_reports_that_it_checked_the_defaults() {
        let valid = "the configuration is valid\n";
        assert_eq!(check_report(&Config::new(1024), true), valid);
        let notice = "checked the defaults: no --config, and no /etc/aisopod-gateway/config.toml\n";
        assert_eq!(check_report(&Config::new(1024), false), format!("{notice}{valid}"));
    }

    #[test]
    fn misspelt_scopes_and_roles_get_a_warning_with_a_suggestion() {
        let config = with_credential("nodes", &["client:read", "clients:write", "*", "reports"]);
        assert_eq!(
            config_warnings(&config),
            [
                "credential pi: unusual role nodes (did you mean node?)",
                "credential pi: unknown scope client:read (did you mean clients:read?)",
                "credential pi: unknown scope reports",
            ]
        );
        assert!(check_report(&config, true).starts_with("warning: credential pi: unusual role nodes"));
        assert!(config_warnings(&with_credential("probe", &["events:publish"])).is_empty());
    }

    #[test]
    fn presence_policy_of_an_unused_role_gets_a_warning() {
        let policies = ["nodes", "probes", "camera", "node"].map(|role| (role.into(), PresencePolicy::Reject));
        let config = Config { presence: PresencePolicies(policies.into()), ..with_credential("probe", &[]) };
        assert_eq!(
            config_warnings(&config),
            [
                "presence.nodes: no credential has the role nodes (did you mean node?)",
                "presence.probes: no credential has the role probes (did you mean probe?)",
                "presence.camera: no credential has the role camera",
            ]
        );
    }

    #[test]
    fn exposed_address_without_credentials_gets_a_warning() {
        let exposed = vec![ListenAddr::Tcp(([0, 0, 0, 0], 80).into())];
        let config = Config { listen: exposed, allow_insecure: true, ..Config::new(1024) };
        let warnings = config_warnings(&config);
        assert!(warnings.len() == 1 && warnings[0].contains("without credentials"), "{warnings:?}");
        assert!(config_warnings(&Config::new(1024)).is_empty());
    }
}
