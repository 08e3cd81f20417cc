//! Loading a TOML file: reads and checks each setting, and reports every problem with its line.

use super::checks::{check_exposure, check_origins, check_overlap};
use super::credentials::read_auth;
use super::document::{Document, Table};
use super::error::ConfigError;
use super::files::read_config;
use super::settings::{SECTIONS, Section};
use crate::config::{Config, ListenAddr};
use std::path::Path;
use toml::de::DeTable;

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
    let mut is_auth_valid = true;
    for section in SECTIONS {
        match section.name {
            "" => read_section(&mut top, section, config, descriptors),
            "presence" => top.section(section.name, |table| table.presence(&mut config.presence)),
            "auth" => {
                let error_count = top.error_count();
                top.section(section.name, |table| {
                    read_section(table, section, config, descriptors);
                    read_auth(table, config, dir);
                });
                is_auth_valid = top.error_count() == error_count;
            }
            name => top.section(name, |table| read_section(table, section, config, descriptors)),
        }
    }
    top.reject_unknown();
    is_auth_valid
}

/// Reads the settings of a section, and checks them against each other if all are valid.
fn read_section(table: &mut Table<'_, '_>, section: &Section, config: &mut Config, descriptors: usize) {
    let error_count = table.error_count();
    for setting in section.settings {
        setting.kind.read(setting.key, table, config, descriptors);
    }
    if table.error_count() == error_count {
        (section.check)(table, config);
    }
}
