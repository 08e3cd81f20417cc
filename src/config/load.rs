//! Loading a TOML file: reads and checks each setting, and reports every problem with its line.

use super::credentials::read_auth;
use super::document::{Document, Table};
use super::error::ConfigError;
use super::files::read_config;
use super::parse::{ORIGIN_SYNTAX, format_duration, parse_origin};
use crate::config::{
    Config, HandshakeConfig, HeartbeatConfig, Limits, ListenAddr, PerAddressLimits, ProxyConfig, parse_listen,
};
use std::ops::Range;
use std::path::Path;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);
const MIB: usize = 1024 * 1024;

/// Loads a configuration file; settings that it doesn't have keep the defaults of [`Config::new`] for `descriptors`
/// open files. `listen`, from the command line, replaces the file's addresses unless it is empty.
///
/// # Errors
/// If the file can't be read, or others can write it. Otherwise all syntax errors of the file, each with its line; if
/// there are none, all other problems, each with its line and what is allowed.
pub fn load(path: &Path, descriptors: usize, listen: Vec<ListenAddr>) -> Result<Config, ConfigError> {
    let location = path.display().to_string();
    let text = read_config(path).map_err(|error| ConfigError::new(&location, error))?;
    let dir = path.parent().unwrap_or(Path::new(""));
    read_text(&text, location, dir, descriptors, listen)
}

/// Reads a file's text. `dir` is the file's directory, for relative paths in it.
pub fn read_text(
    text: &str,
    location: String,
    dir: &Path,
    descriptors: usize,
    listen: Vec<ListenAddr>,
) -> Result<Config, ConfigError> {
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut document = Document::new(location, text);
    for error in &errors {
        syntax_error(&mut document, text, error);
    }
    let mut config = Config::new(descriptors);
    if errors.is_empty() {
        let is_auth_valid = read_settings(&mut document, root.get_ref(), &mut config, dir, descriptors);
        let from_flags = !listen.is_empty();
        if from_flags {
            config.listen = listen;
        }
        if is_auth_valid {
            check_exposure(&mut document, root.get_ref(), &config, from_flags);
            check_origins(&mut document, root.get_ref(), &config);
        }
        check_overlap(&mut document, root.get_ref(), &config, from_flags);
    }
    config.warnings = document.finish()?;
    Ok(config)
}

fn syntax_error(document: &mut Document<'_>, text: &str, error: &toml::de::Error) {
    let span = error.span().unwrap_or(0..0);
    // Only a key's name is shown: any other text may be a secret.
    let key = text.get(span.clone()).filter(|_| error.message() == "duplicate key");
    let message = key.map_or_else(|| error.message().to_owned(), |key| format!("{}: {key}", error.message()));
    document.error_at(span, message);
}

/// Reads all sections; returns whether `[auth]` was valid.
fn read_settings<'t>(
    document: &mut Document<'t>,
    root: &'t DeTable<'t>,
    config: &mut Config,
    dir: &Path,
    descriptors: usize,
) -> bool {
    let mut top = Table::new(document, "", root);
    read_listen(&mut top, false, &mut config.listen);
    top.boolean("listen_reuse_port", &mut config.listen_reuse_port);
    top.level("log_level", &mut config.log_level);
    top.section("handshake", |section| read_handshake(section, &mut config.handshake));
    top.section("proxy", |section| read_proxy(section, &mut config.proxy));
    top.section("per_address", |section| read_per_address(section, &mut config.per_address));
    top.section("heartbeat", |section| read_heartbeat(section, &mut config.heartbeat));
    top.section("limits", |section| read_limits(section, &mut config.limits, descriptors));
    let error_count = top.error_count();
    top.section("auth", |section| read_auth(section, config, dir));
    let is_auth_valid = top.error_count() == error_count;
    top.section("presence", |section| section.presence(&mut config.presence));
    top.section("calls", |section| {
        section.duration("timeout", MILLISECOND * 10..=HOUR, &mut config.calls.timeout);
        section.integer("max_per_caller", 1..=1_000_000, &mut config.calls.max_per_caller);
        section.integer("max_per_node", 1..=1_000_000, &mut config.calls.max_per_node);
    });
    top.section("ops", |section| {
        read_listen(section, true, &mut config.ops.listen);
    });
    top.section("shutdown", |section| {
        section.duration("drain_timeout", MILLISECOND..=HOUR, &mut config.shutdown.drain_timeout);
    });
    top.reject_unknown();
    is_auth_valid
}

/// Rejects addresses that other machines can reach while no credentials are required.
fn check_exposure(document: &mut Document<'_>, root: &DeTable<'_>, config: &Config, from_flags: bool) {
    if let Some(message) = config.exposure_error_of("listen", &config.listen) {
        if from_flags {
            document.flag_error("--listen", message);
        } else {
            document.error_at(root.get("listen").map_or(0..0, Spanned::span), message);
        }
    }
    if let Some(message) = config.exposure_error_of("ops.listen", &config.ops.listen) {
        document.error_at(span_of(root, "ops", "listen"), message);
    }
}

/// Rejects the origin `*` while no credentials are required: every web page that a user of this machine visits could
/// then connect, with all scopes.
fn check_origins(document: &mut Document<'_>, root: &DeTable<'_>, config: &Config) {
    if config.auth.allows_anonymous() && config.handshake.allowed_origins.iter().any(|origin| origin == "*") {
        let message = "handshake.allowed_origins = \"*\" needs credentials, since every web page could connect: set \
                       auth.mode = \"token\" or \"password\"; allowed without credentials: the origins of your pages";
        document.error_at(span_of(root, "handshake", "allowed_origins"), message);
    }
}

/// Rejects an address in both `listen` and `ops.listen`: the second bind would fail, or with `SO_REUSEPORT` clients
/// would reach either listener at random.
fn check_overlap(document: &mut Document<'_>, root: &DeTable<'_>, config: &Config, from_flags: bool) {
    let mut pairs = config.ops.listen.iter().flat_map(|admin| config.listen.iter().map(move |addr| (admin, addr)));
    let Some((admin, addr)) = pairs.find(|(admin, addr)| admin.overlaps(addr)) else { return };
    let source = match root.get("listen") {
        _ if from_flags => " (from --listen)",
        None => " (the default)",
        Some(_) => "",
    };
    document.error_at(
        span_of(root, "ops", "listen"),
        format!("ops.listen \"{admin}\" is taken by listen \"{addr}\"{source}; allowed: another address or port"),
    );
}

/// The position of a setting's value; that of the file's start if it isn't set.
fn span_of(root: &DeTable<'_>, section: &str, key: &str) -> Range<usize> {
    let section = root.get(section).and_then(|value| value.get_ref().as_table());
    section.and_then(|section| section.get(key)).map_or(0..0, Spanned::span)
}

fn read_handshake(section: &mut Table<'_, '_>, settings: &mut HandshakeConfig) {
    section.duration("timeout", MILLISECOND * 10..=HOUR, &mut settings.timeout);
    section.duration("idle_timeout", MILLISECOND * 10..=HOUR, &mut settings.idle_timeout);
    section.integer("max_in_progress", 0..=1_000_000_000, &mut settings.max_in_progress);
    section.integer("max_per_second", 0..=1_000_000, &mut settings.max_per_second);
    section.integer("max_header_bytes", 8192..=65_536, &mut settings.max_header_bytes);
    section.boolean("refuse_in_band", &mut settings.refuse_in_band);
    section.strings("allowed_origins", parse_origin, ORIGIN_SYNTAX, &mut settings.allowed_origins);
}

fn read_proxy(section: &mut Table<'_, '_>, settings: &mut ProxyConfig) {
    section.peers("trusted", &mut settings.trusted);
    section.label("header", &mut settings.header);
    section.boolean("protocol", &mut settings.protocol);
    if settings.protocol && settings.trusted.is_empty() {
        let span = section.span_of("protocol").unwrap_or(0..0);
        section.error_at(span, "proxy.protocol = true needs proxy.trusted, the addresses of your proxies");
    }
}

fn read_per_address(section: &mut Table<'_, '_>, settings: &mut PerAddressLimits) {
    section.integer("max_connections", 0..=1_000_000, &mut settings.max_connections);
    section.integer("max_connects_per_second", 0..=1_000_000, &mut settings.max_connects_per_second);
    section.integer("max_failures_per_minute", 1..=1_000_000, &mut settings.max_failures_per_minute);
    section.peers("exempt", &mut settings.exempt);
}

fn read_heartbeat(section: &mut Table<'_, '_>, settings: &mut HeartbeatConfig) {
    let error_count = section.error_count();
    section.duration("interval", MILLISECOND * 10..=HOUR, &mut settings.interval);
    section.duration("timeout", MILLISECOND * 10..=HOUR, &mut settings.timeout);
    if section.error_count() > error_count || settings.timeout <= settings.interval {
        return;
    }
    let (interval, timeout) = (format_duration(settings.interval), format_duration(settings.timeout));
    let (interval_mark, timeout_mark) = (section.default_mark("interval"), section.default_mark("timeout"));
    section.error_at(
        section.span_of("timeout").or_else(|| section.span_of("interval")).unwrap_or(0..0),
        format!(
            "heartbeat.timeout = \"{timeout}\"{timeout_mark}; allowed: at most heartbeat.interval, \
             \"{interval}\"{interval_mark}"
        ),
    );
}

fn read_limits(section: &mut Table<'_, '_>, limits: &mut Limits, descriptors: usize) {
    let error_count = section.error_count();
    let max_connections = Config::max_connections_for(descriptors);
    let hint = format!(
        ", the descriptor limit of {descriptors} less {} in reserve; LimitNOFILE= or ulimit -n raises it",
        Config::reserved_of(descriptors)
    );
    section.integer_with_hint("max_connections", 1..=max_connections, &hint, &mut limits.max_connections);
    section.integer("max_message_bytes", 125..=64 * MIB, &mut limits.max_message_bytes);
    section.integer("max_batch_requests", 1..=10_000, &mut limits.max_batch_requests);
    section.integer("max_subscriptions", 1..=10_000, &mut limits.max_subscriptions);
    section.integer("closed_connections", 0..=1_000_000, &mut limits.closed_connections);
    section.integer("outbox_max_bytes", 1024..=1024 * MIB, &mut limits.outbox_max_bytes);
    section.memory_limit("max_memory_for_clients", &mut limits.max_memory_for_clients);
    section.integer("max_messages_per_second", 0..=1_000_000, &mut limits.max_messages_per_second);
    section.integer("max_bytes_per_second", 0..=1024 * MIB, &mut limits.max_bytes_per_second);
    section.duration("rate_burst", MILLISECOND * 10..=HOUR, &mut limits.rate_burst);
    section.duration("rate_timeout", MILLISECOND * 10..=HOUR, &mut limits.rate_timeout);
    section.duration("write_timeout", MILLISECOND * 10..=HOUR, &mut limits.write_timeout);
    section.duration("max_lifetime", Duration::ZERO..=HOUR * 24 * 365, &mut limits.max_lifetime);
    section.duration("close_timeout", MILLISECOND * 10..=HOUR, &mut limits.close_timeout);
    let min_outbox_bytes = 2 * limits.max_message_bytes;
    if section.error_count() > error_count || limits.outbox_max_bytes >= min_outbox_bytes {
        return;
    }
    section.error_at(
        section.span_of("outbox_max_bytes").or_else(|| section.span_of("max_message_bytes")).unwrap_or(0..0),
        format!(
            "limits.outbox_max_bytes = {}{}; allowed: at least {min_outbox_bytes}, twice limits.max_message_bytes{}",
            limits.outbox_max_bytes,
            section.default_mark("outbox_max_bytes"),
            section.default_mark("max_message_bytes"),
        ),
    );
}

/// Reads `listen` of a section: one address, or a list. Keeps only valid ones, so that the checks that follow don't
/// report an invalid address again.
fn read_listen(section: &mut Table<'_, '_>, may_be_empty: bool, setting: &mut Vec<ListenAddr>) {
    let Some(value) = section.take("listen") else { return };
    setting.clear();
    let items: Vec<&Spanned<DeValue<'_>>> = match value.get_ref() {
        DeValue::Array(array) => array.iter().collect(),
        _ => vec![value],
    };
    if items.is_empty() && !may_be_empty {
        section.invalid_value("listen", value, "allowed: at least one address");
    }
    for item in items {
        match parse_listen(item.get_ref().as_str().unwrap_or_default()) {
            Err(expected) => section.invalid_value("listen", item, expected),
            Ok(addr) => match addr.check_with(setting) {
                Ok(addr) => setting.push(addr),
                Err(problem) => section.error_at(item.span(), format!("{}: {problem}", section.key_path("listen"))),
            },
        }
    }
}
