//! Tests of the documentation: its lists are complete, and its examples run as they are printed.

mod commands;
mod generated;
mod nodes;
mod protocol;
mod readme;
mod settings;

use crate::common::tools;
use std::process::Command;

pub const README: &str = include_str!("../../../README.md");
pub const PROTOCOL: &str = include_str!("../../../src/rpc/README.md");
pub const OPERATION: &str = include_str!("../../../systemd/README.md");
pub const SETTINGS: &str = include_str!("../../../systemd/config.toml");

/// The text below a heading, up to the next one of the same level. `heading` includes its `#` characters.
pub fn section<'a>(document: &'a str, heading: &str) -> &'a str {
    let (_, text) = document.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no section {heading}"));
    let level = heading.split(' ').next().unwrap_or_default();
    text.split(&format!("\n{level} ")).next().unwrap_or_default()
}

/// The code blocks of a text: their languages and contents.
pub fn blocks(text: &str) -> Vec<(&str, &str)> {
    let fenced = text.split("```").skip(1).step_by(2);
    fenced.map(|block| block.split_once('\n').expect("a language")).collect()
}

/// The rows of the table with this header: their cells.
pub fn table<'a>(document: &'a str, header: &str) -> Vec<Vec<&'a str>> {
    let (_, text) = document.split_once(&format!("\n{header}\n")).unwrap_or_else(|| panic!("no table {header}"));
    let rows = text.lines().skip(1).take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// The texts between backticks.
pub fn code_spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Runs commands of the documentation in a temporary directory, with websocat in the PATH.
pub struct Shell {
    pub dir: tempfile::TempDir,
    path: String,
}

impl Shell {
    /// A shell, if websocat and curl are installed.
    pub fn new() -> Option<Shell> {
        let (websocat, _) = (tools::require("websocat")?, tools::require("curl")?);
        let path = format!("{}:{}", websocat.parent().unwrap().display(), std::env::var("PATH").unwrap());
        Some(Shell { dir: tempfile::tempdir().unwrap(), path })
    }

    /// A process that runs these commands, with this port instead of the documentation's. If the last command is run by
    /// `exec`, it replaces the shell, so signals to the process reach it.
    pub fn command(&self, commands: &str, port: u16) -> Command {
        let mut command = Command::new("bash");
        command.args(["-e", "-c", &commands.replace(":8080", &format!(":{port}"))]);
        command.current_dir(self.dir.path()).env("PATH", &self.path);
        command
    }
}
