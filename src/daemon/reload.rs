//! SIGHUP: reads the configuration again, and applies it. An invalid one changes nothing.

use super::service_status::ServiceStatus;
use crate::check::config_warnings;
use crate::cli::ConfigSource;
use crate::config::{Config, ConfigError};
use crate::gateway::Gateway;
use crate::logging;
use crate::server::reload::Reload;
use crate::systemd::notify;
use crate::systemd::sockets::PassedAddresses;
use log::{error, info, warn};
use std::sync::Arc;
use tokio::sync::Mutex;

/// What a reload needs.
pub struct Reloader {
    pub gateway: Gateway,
    pub source: ConfigSource,
    /// The addresses of the sockets that systemd has passed.
    pub addresses: PassedAddresses,
    pub status: Arc<ServiceStatus>,
    /// Held during a reload, so that the file that was read last is the one that stays in effect.
    pub running: Mutex<()>,
}

impl Reloader {
    /// Reads the configuration again and applies it. The result is logged, and shown in the service manager's status.
    pub async fn reload(self: Arc<Self>) {
        let _running = self.running.lock().await;
        notify::reloading();
        let source = self.source.clone();
        let loaded = tokio::task::spawn_blocking(move || source.load()).await;
        let loaded = loaded.unwrap_or_else(|_| Err(ConfigError::new("reload", "reading the configuration panicked")));
        let reloaded = match loaded {
            Ok(config) => self.apply(config).await,
            Err(error) => Err(error),
        };
        let note = match reloaded {
            Ok(reload) => report(&reload),
            Err(error) => report_failure(&error),
        };
        self.status.end_reload(note);
    }

    async fn apply(&self, mut config: Config) -> Result<Reload, ConfigError> {
        let unused = self.addresses.replace_in(&mut config);
        let (level, warnings) = (config.log_level, config_warnings(&config));
        let reload = self.gateway.reload(config).await?;
        logging::set_level(level);
        log_unused(&unused);
        for warning in warnings {
            warn!("{warning}");
        }
        Ok(reload)
    }
}

/// Logs which settings aren't used because systemd has passed sockets.
pub fn log_unused(settings: &[&str]) {
    for setting in settings {
        warn!("{setting} isn't used, since systemd passes sockets");
    }
}

/// Logs a reload. Returns what the status shows of it.
fn report(Reload { applied, needs_restart, revoked }: &Reload) -> String {
    let applied = if applied.is_empty() { "none".to_owned() } else { applied.join(",") };
    info!("reloaded changed={applied} revoked={revoked}");
    if needs_restart.is_empty() {
        return String::new();
    }
    warn!("changed settings need a restart settings={}", needs_restart.join(","));
    format!("a restart is needed for {}", needs_restart.join(", "))
}

/// Logs why a reload failed. Returns what the status shows of it.
fn report_failure(error: &ConfigError) -> String {
    for problem in &error.0 {
        error!("reload failed, nothing has changed problem=\"{problem}\"");
    }
    let first = error.0.first().map(ToString::to_string).unwrap_or_default();
    // A status is one line.
    format!("the last reload failed: {}", first.replace(char::is_control, " "))
}
