//! Checks of settings against each other. Each problem names the settings that are in conflict, and marks defaults.

use super::document::{Document, Table};
use super::parse::format_duration;
use crate::config::Config;
use std::ops::Range;
use toml::Spanned;
use toml::de::DeTable;

pub(super) fn check_proxy(section: &mut Table<'_, '_>, config: &Config) {
    if config.proxy.protocol && config.proxy.trusted.is_empty() {
        let span = section.span_of("protocol").unwrap_or(0..0);
        section.error_at(span, "proxy.protocol = true needs proxy.trusted, the addresses of your proxies");
    }
}

pub(super) fn check_heartbeat(section: &mut Table<'_, '_>, config: &Config) {
    let settings = &config.heartbeat;
    if settings.timeout <= settings.interval {
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

pub(super) fn check_limits(section: &mut Table<'_, '_>, config: &Config) {
    let limits = &config.limits;
    let min_outbox_bytes = 2 * limits.max_message_bytes;
    if limits.outbox_max_bytes >= min_outbox_bytes {
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

/// Rejects addresses that other machines can reach while no credentials are required.
pub(super) fn check_exposure(document: &mut Document<'_>, root: &DeTable<'_>, config: &Config, from_flags: bool) {
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
pub(super) fn check_origins(document: &mut Document<'_>, root: &DeTable<'_>, config: &Config) {
    if config.auth.allows_anonymous() && config.handshake.allowed_origins.iter().any(|origin| origin == "*") {
        let message = "handshake.allowed_origins = \"*\" needs credentials, since every web page could connect: set \
                       auth.mode = \"token\" or \"password\"; allowed without credentials: the origins of your pages";
        document.error_at(span_of(root, "handshake", "allowed_origins"), message);
    }
}

/// Rejects an address in both `listen` and `ops.listen`: the second bind would fail, or with `SO_REUSEPORT` clients
/// would reach either listener at random.
pub(super) fn check_overlap(document: &mut Document<'_>, root: &DeTable<'_>, config: &Config, from_flags: bool) {
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
