//! `systemd/config.toml` is the reference of all settings. `systemd/mod.rs` tests that it parses and has the default
//! values.

use super::{README, SETTINGS, table};
use aisopod_gateway::config::Config;
use std::collections::{BTreeMap, BTreeSet};

/// The settings of the reference with their defaults.
fn reference() -> BTreeMap<String, &'static str> {
    let (mut section, mut settings) = (String::new(), BTreeMap::new());
    for line in SETTINGS.lines().map(|line| line.strip_prefix('#').unwrap_or(line)) {
        if let Some(name) = line.strip_prefix('[') {
            section = format!("{}.", name.trim_matches(['[', ']']));
        } else if let Some((key, value)) = line.split_once(" = ").filter(|(key, _)| !key.contains(' ')) {
            settings.insert(format!("{section}{key}"), value);
        }
    }
    settings
}

/// The settings that the code has: the fields of `Config` and of its sections.
fn fields() -> BTreeSet<String> {
    let (mut section, mut fields) = (String::new(), BTreeSet::new());
    for line in format!("{:#?}", Config::new(20_000)).lines() {
        let Some((name, value)) = line.trim_start().split_once(": ") else { continue };
        match line.len() - line.trim_start().len() {
            4 if value.ends_with('{') => section = format!("{name}."),
            4 => _ = fields.insert(name.to_owned()),
            8 => _ = fields.insert(format!("{section}{name}")),
            _ => {}
        }
    }
    fields
}

#[test]
fn reference_has_every_setting_of_the_code() {
    let reference = reference();
    // `auth` and `presence` aren't structs of settings; `allow_insecure` is in `[auth]`; `warnings` isn't a setting.
    let other = ["auth", "presence", "allow_insecure", "warnings"];
    let fields: Vec<_> = fields().into_iter().filter(|field| !other.contains(&&**field)).collect();
    assert!(fields.len() >= 23 && fields.contains(&"limits.write_timeout".to_owned()), "{fields:?}");
    let expected = fields.iter().map(String::as_str).chain([
        "auth.allow_insecure",
        "auth.credentials.name",
        "auth.credentials.role",
        "auth.credentials.scopes",
        "auth.credentials.token_sha256",
        "auth.mode",
        "presence.node",
        "presence.operator",
    ]);
    assert_eq!(reference.keys().map(String::as_str).collect::<BTreeSet<_>>(), expected.collect());
}

#[test]
fn settings_of_the_readme_are_those_of_the_reference_with_their_defaults() {
    let reference = reference();
    let rows = table(README, "| setting | default | |");
    assert_eq!(rows.len(), 16);
    for row in rows {
        let (setting, default) = (row[0].trim_matches('`'), row[1].trim_matches('`'));
        match reference.get(setting) {
            Some(value) => assert_eq!(default, *value, "{setting}"),
            None => assert_eq!((setting, default), ("auth.credentials", "")),
        }
    }
}
