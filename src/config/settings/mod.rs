//! The table of all settings: their names, the values that they allow, and their descriptions.
//!
//! It is the only source of what is read from a file, what a reload compares, and what `systemd/config.toml`, the manual
//! page and the README say of each setting.

mod kind;
mod limits;
mod table;

pub use kind::Kind;
pub use table::{CREDENTIAL_KEYS, SECTIONS};

use super::document::Table;
use crate::config::Config;

/// A section of the configuration file.
pub struct Section {
    /// Its key; empty for the settings above the first section.
    pub name: &'static str,
    /// What its settings are about, in paragraphs separated by newlines; may be empty.
    pub about: &'static str,
    /// Its settings, in the order in which they are described.
    pub settings: &'static [Setting],
    /// Checks a section whose settings are all valid by themselves.
    pub(super) check: fn(&mut Table<'_, '_>, &Config),
}

/// A setting.
pub struct Setting {
    /// Its key in its section.
    pub key: &'static str,
    /// Its type, the values that it allows, and its place in [`Config`].
    pub kind: Kind,
    /// What it does, in paragraphs separated by newlines.
    pub about: &'static str,
    /// The same in one line, for the README; `None` for the settings that are rarely changed.
    pub summary: Option<&'static str>,
    /// Whether a reload applies a change. Otherwise the change needs a restart.
    pub is_live: bool,
}

impl Setting {
    pub(super) const fn new(key: &'static str, kind: Kind, about: &'static str) -> Self {
        Setting { key, kind, about, summary: None, is_live: true }
    }

    /// The same setting, described in the README too.
    const fn summarized(self, summary: &'static str) -> Self {
        Setting { summary: Some(summary), ..self }
    }

    /// The same setting, of which a change needs a restart.
    const fn needs_restart(self) -> Self {
        Setting { is_live: false, ..self }
    }
}

impl Section {
    const fn new(name: &'static str, about: &'static str, settings: &'static [Setting]) -> Self {
        Section { name, about, settings, check: |_, _| {} }
    }

    const fn checked(self, check: fn(&mut Table<'_, '_>, &Config)) -> Self {
        Section { check, ..self }
    }

    /// A setting's key with the path of this section, such as `limits.max_connections`.
    pub fn path_of(&self, setting: &Setting) -> String {
        if self.name.is_empty() { setting.key.to_owned() } else { format!("{}.{}", self.name, setting.key) }
    }
}

/// How two configurations differ: the paths of the changed settings.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Those that a reload applies.
    pub live: Vec<String>,
    /// Those that need a restart.
    pub needs_restart: Vec<String>,
}

/// Compares a configuration with the one in use. Resets the changes in `new` that need a restart.
pub fn apply_live_changes(old: &Config, new: &mut Config) -> Changes {
    let (mut old, mut changes) = (old.clone(), Changes::default());
    for section in SECTIONS {
        for setting in section.settings {
            if !setting.kind.is_changed(&mut old, new) {
                continue;
            }
            let path = section.path_of(setting);
            if setting.is_live {
                changes.live.push(path);
            } else {
                setting.kind.copy(&mut old, new);
                changes.needs_restart.push(path);
            }
        }
    }
    changes
}

#[cfg(test)]
mod tests;
