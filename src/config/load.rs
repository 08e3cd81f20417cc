//! The TOML file: each setting read, checked, and complained about with its line.

use super::credentials::read_auth;
use super::document::{Document, Table};
use super::error::ConfigError;
use super::parse::{LISTEN_SYNTAX, format_duration, parse_listen};
use crate::config::{Config, HandshakeConfig, HeartbeatConfig, ListenAddr};
use std::path::Path;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);
const MIB: usize = 1024 * 1024;

/// Reads a configuration file over the defaults for a process with this descriptor limit. `listen`, from the command
/// line, stands over the file's unless it is empty.
///
/// # Errors
/// All that is wrong with it, not only the first: each with file, line, value and what is allowed.
pub fn load(path: &Path, descriptors: usize, listen: Vec<ListenAddr>) -> Result<Config, ConfigError> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError::new(&shown, error.to_string()))?;
    let mut file = Document::new(shown, &text);
    let (root, errors) = DeTable::parse_recoverable(&text);
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        // Only a key's name is shown: what else can't be read may be a secret.
        let key = text.get(span.clone()).filter(|_| error.message() == "duplicate key");
        let message = key.map_or_else(|| error.message().to_owned(), |key| format!("{}: {key}", error.message()));
        file.problem(span, message);
    }
    let mut config = Config::new(descriptors);
    if file.count() == 0 {
        let dir = path.parent().unwrap_or(Path::new(""));
        let auth_is_known = read_config(&mut file, root.get_ref(), &mut config, dir, descriptors);
        let from_file = listen.is_empty();
        if !from_file {
            config.listen = listen;
        }
        match config.exposure_error_of("listen", &config.listen).filter(|_| auth_is_known) {
            Some(message) if from_file => {
                let span = root.get_ref().get("listen").map_or(0..0, Spanned::span);
                file.problem(span, message);
            }
            Some(message) => file.problem_of_flag("--listen", message),
            None => {}
        }
        let exposure_error = config.exposure_error_of("ops.listen", &config.ops.listen).filter(|_| auth_is_known);
        let ops = root.get_ref().get("ops").and_then(|ops| ops.get_ref().as_table()?.get("listen"));
        for message in exposure_error.into_iter().chain(overlap(&config)) {
            file.problem(ops.map_or(0..0, Spanned::span), message);
        }
    }
    file.finish().map(|()| config)
}

/// Says whether it is known who is let in.
fn read_config(
    file: &mut Document<'_>,
    root: &DeTable<'_>,
    config: &mut Config,
    dir: &Path,
    descriptors: usize,
) -> bool {
    let mut top = Table::new("", root);
    let listen = top.take("listen");
    top.boolean(file, "listen_reuse_port", &mut config.listen_reuse_port);
    top.level(file, "log_level", &mut config.log_level);
    top.table("handshake", file, |file, section| read_handshake(file, section, &mut config.handshake));
    top.table("heartbeat", file, |file, section| read_heartbeat(file, section, &mut config.heartbeat));
    top.table("limits", file, |file, section| read_limits(file, section, config, descriptors));
    let before = file.count();
    top.table("auth", file, |file, section| read_auth(file, section, config, dir));
    let auth_is_known = file.count() == before;
    top.table("presence", file, |file, section| section.presence(file, &mut config.presence));
    top.table("calls", file, |file, section| {
        section.duration(file, "timeout", MILLISECOND * 10..=HOUR, &mut config.calls.timeout);
        section.integer(file, "max_per_caller", 1..=1_000_000, "", &mut config.calls.max_per_caller);
        section.integer(file, "max_per_node", 1..=1_000_000, "", &mut config.calls.max_per_node);
    });
    top.table("ops", file, |file, section| {
        section.integer(file, "max_failures_per_minute", 1..=1_000_000, "", &mut config.ops.max_failures_per_minute);
        if let Some(value) = section.take("listen") {
            read_listen(file, "ops.listen", value, &mut config.ops.listen);
        }
    });
    top.table("shutdown", file, |file, section| {
        section.duration(file, "drain_timeout", MILLISECOND..=HOUR, &mut config.shutdown.drain_timeout);
    });
    if let Some(value) = listen {
        read_listen(file, "listen", value, &mut config.listen);
    }
    top.finish(file);
    auth_is_known
}

/// That clients and operators have an address in common, which then would serve now the ones, now the others.
fn overlap(config: &Config) -> Option<String> {
    let pairs = config.ops.listen.iter().flat_map(|ops| config.listen.iter().map(move |addr| (ops, addr)));
    let (ops, addr) = pairs.into_iter().find(|(ops, addr)| ops.overlaps(addr))?;
    Some(format!("ops.listen \"{ops}\" is served to clients by listen \"{addr}\"; allowed: another address or port"))
}

fn read_handshake(file: &mut Document<'_>, section: &mut Table<'_>, settings: &mut HandshakeConfig) {
    section.duration(file, "timeout", MILLISECOND * 10..=HOUR, &mut settings.timeout);
    section.duration(file, "idle_timeout", MILLISECOND * 10..=HOUR, &mut settings.idle_timeout);
    section.integer(file, "max_header_bytes", 8192..=65_536, "", &mut settings.max_header_bytes);
    section.strings(file, "allowed_origins", is_origin, ORIGIN_FORMS, &mut settings.allowed_origins);
}

fn read_heartbeat(file: &mut Document<'_>, section: &mut Table<'_>, settings: &mut HeartbeatConfig) {
    let interval = section.duration(file, "interval", MILLISECOND * 10..=HOUR, &mut settings.interval);
    let timeout = section.duration(file, "timeout", MILLISECOND * 10..=HOUR, &mut settings.timeout);
    let (interval_is, timeout_is) = (settings.interval, settings.timeout);
    if let Some(span) = timeout.or(interval).filter(|_| timeout_is > interval_is) {
        let (interval_is, timeout_is) = (format_duration(interval_is), format_duration(timeout_is));
        file.problem(
            span,
            format!("heartbeat.timeout = \"{timeout_is}\"; allowed: at most heartbeat.interval, \"{interval_is}\""),
        );
    }
}

fn read_limits(file: &mut Document<'_>, section: &mut Table<'_>, config: &mut Config, descriptors: usize) {
    let limits = &mut config.limits;
    let most = Config::max_connections_for(descriptors);
    let why = format!(
        ", the descriptor limit of {descriptors} less {} in reserve; LimitNOFILE= or ulimit -n raises it",
        Config::RESERVED_DESCRIPTORS
    );
    section.integer(file, "max_connections", 1..=most, &why, &mut limits.max_connections);
    section.integer(file, "max_message_bytes", 125..=64 * MIB, "", &mut limits.max_message_bytes);
    section.integer(file, "max_batch_requests", 1..=10_000, "", &mut limits.max_batch_requests);
    section.integer(file, "max_subscriptions", 1..=10_000, "", &mut limits.max_subscriptions);
    section.integer(file, "closed_connections", 0..=1_000_000, "", &mut limits.closed_connections);
    section.integer(file, "outbox_max_messages", 2..=1_000_000, "", &mut limits.outbox_max_messages);
    let bytes = section.integer(file, "outbox_max_bytes", 1024..=1024 * MIB, "", &mut limits.outbox_max_bytes);
    section.duration(file, "write_timeout", MILLISECOND * 10..=HOUR, &mut limits.write_timeout);
    section.duration(file, "close_timeout", MILLISECOND * 10..=HOUR, &mut limits.close_timeout);
    let least = 2 * limits.max_message_bytes;
    if limits.outbox_max_bytes < least {
        let span = bytes.or_else(|| section.span_of("max_message_bytes")).unwrap_or(0..0);
        let value = limits.outbox_max_bytes;
        file.problem(
            span,
            format!("limits.outbox_max_bytes = {value}; allowed: at least twice limits.max_message_bytes, {least}"),
        );
    }
}

fn read_listen(file: &mut Document<'_>, key: &str, value: &Spanned<DeValue<'_>>, setting: &mut Vec<ListenAddr>) {
    let items: Vec<&Spanned<DeValue<'_>>> = match value.get_ref() {
        DeValue::Array(array) => array.iter().collect(),
        _ => vec![value],
    };
    let parsed: Vec<Option<ListenAddr>> =
        items.iter().map(|item| item.get_ref().as_str().and_then(parse_listen)).collect();
    // Operators need no address of their own.
    if parsed.is_empty() && key == "listen" {
        file.refuse(key, value, LISTEN_SYNTAX);
    }
    for (item, _) in items.iter().zip(&parsed).filter(|(_, addr)| addr.is_none()) {
        file.refuse(key, item, LISTEN_SYNTAX);
    }
    for (index, (item, addr)) in items.iter().zip(&parsed).enumerate() {
        if addr.as_ref().is_some_and(|addr| parsed[..index].iter().flatten().any(|other| addr.is_same(other))) {
            file.refuse(key, item, "it stands there twice; allowed: once");
        }
    }
    if parsed.iter().all(Option::is_some) && !parsed.is_empty() {
        *setting = parsed.into_iter().flatten().collect();
    }
}

const ORIGIN_FORMS: &str = "allowed: \"*\", \"null\", or scheme and host, as \"https://example.com\"";

fn is_origin(text: &str) -> bool {
    let authority = text.split_once("://").map(|(_, authority)| authority);
    text == "*" || text == "null" || authority.is_some_and(|host| !host.is_empty() && !host.contains('/'))
}
