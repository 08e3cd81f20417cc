//! Documents that are generated from the tables that the program itself uses: its flags, settings and methods.
//! `make docs` writes them; the test fails if one of them isn't up to date.

mod completions;
mod manual;
mod roff;
mod settings;

use super::README;
use crate::common::tools::require;
use aisopod_gateway::internals::METHODS;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The generated files: their paths and contents.
fn files() -> Vec<(&'static str, String)> {
    vec![
        ("README.md", readme()),
        ("systemd/config.toml", settings::example()),
        ("systemd/man/aisopod-gateway.8", manual::program()),
        ("systemd/man/aisopod-gateway.toml.5", manual::settings()),
        ("systemd/man/aisopod-gateway-protocol.7", manual::protocol()),
        ("systemd/completions/aisopod-gateway.bash", completions::bash()),
        ("systemd/completions/aisopod-gateway.fish", completions::fish()),
        ("systemd/completions/_aisopod-gateway", completions::zsh()),
    ]
}

#[test]
fn generated_documents_are_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let is_update = std::env::var_os("UPDATE_DOCS").is_some();
    for (path, expected) in files() {
        if is_update {
            fs::write(root.join(path), &expected).unwrap();
        }
        let actual = fs::read_to_string(root.join(path)).unwrap_or_default();
        let difference = actual.lines().zip(expected.lines()).find(|(actual, expected)| actual != expected);
        assert!(actual == expected, "{path} isn't up to date: make docs; the first difference is {difference:#?}");
    }
}

/// The README, with its tables of settings and methods.
fn readme() -> String {
    let methods = METHODS.iter().map(|method| {
        let name = format!("`{}`", method.name);
        [name, method.access(), method.about.to_owned()]
    });
    let readme = with_table(README, "| setting | default | |", settings::summaries());
    with_table(&readme, "| method | scope | |", methods)
}

/// A document with other rows in the table with this header.
fn with_table(document: &str, header: &str, rows: impl IntoIterator<Item = [String; 3]>) -> String {
    let (before, rest) = document.split_once(header).unwrap_or_else(|| panic!("no table {header}"));
    let (separator, rest) = rest[1..].split_once('\n').unwrap();
    let after = rest.split_inclusive('\n').skip_while(|line| line.starts_with('|')).collect::<String>();
    let rows: String =
        rows.into_iter().map(|cells| format!("| {} |\n", cells.join(" | ")).replace("|  |", "| |")).collect();
    format!("{before}{header}\n{separator}\n{rows}{after}")
}

#[test]
fn manual_pages_are_formatted_without_warnings() {
    let Some(groff) = require("groff") else { return };
    for (path, text) in files().iter().filter(|(path, _)| path.starts_with("systemd/man/")) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let formatted = Command::new(&groff).args(["-man", "-ww", "-Tutf8", "-rLL=100n"]).arg(file).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&formatted.stderr), "", "{path}");
        let words = String::from_utf8_lossy(&formatted.stdout).split_whitespace().count();
        assert!(words > text.split_whitespace().count() / 2, "{path} has only {words} words");
    }
}
