//! The table of commands and flags: what is parsed, and what `--help`, the manual page and the shell completions say.

use lexopt::{Arg as Parsed, Parser};
use std::ffi::OsString;
use std::fmt::Write;

pub(super) const HELP: &str = "help";
pub(super) const VERSION: &str = "version";

const HELP_FLAG: Flag = Flag::new(HELP, "print this help").with_short('h');

/// All commands. The first one, which runs the gateway, has no name.
pub const COMMANDS: &[CommandLine] = &[RUN, TOKEN];

pub(super) const RUN: CommandLine = CommandLine {
    name: "",
    about: "Runs the gateway.",
    flags: &[
        Flag::with_value(
            "config",
            Value::File,
            "the configuration file (default: /etc/aisopod-gateway/config.toml, if it exists)",
        )
        .with_short('c'),
        Flag::with_value(
            "listen",
            Value::Address,
            "replaces the file's addresses; repeatable: 127.0.0.1:8080, [::1]:8080, unix:/run/x.sock",
        ),
        Flag::with_value(
            "log-level",
            Value::Level,
            "replaces the file's log level: off, error, warn, info, debug, trace",
        ),
        Flag::new("check", "check the configuration and exit"),
        Flag::new(VERSION, "print the version").with_short('V'),
        HELP_FLAG,
    ],
};

pub(super) const TOKEN: CommandLine = CommandLine {
    name: "token",
    about: "Prints a new random token, which isn't stored, and its [[auth.credentials]] block for the configuration.",
    flags: &[
        Flag::with_value("name", Value::Name, "the name of the client; required"),
        Flag::with_value("role", Value::Role, "its role: operator, node, or another word; required"),
        Flag::with_value("scope", Value::Scope, "a scope that is granted to it; repeatable"),
        HELP_FLAG,
    ],
};

/// A command with its flags.
pub struct CommandLine {
    /// The word that selects it; empty for the command that runs the gateway.
    pub name: &'static str,
    /// What it does, in one or more sentences.
    pub about: &'static str,
    /// Its flags, in the order in which they are described.
    pub flags: &'static [Flag],
}

/// A flag.
pub struct Flag {
    /// Its name after two hyphens.
    pub long: &'static str,
    /// Its name after one hyphen.
    pub short: Option<char>,
    /// What its value is; `None` if it takes none.
    pub value: Option<Value>,
    /// What it does, as part of a sentence.
    pub about: &'static str,
}

/// What the value of a flag is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// The path of a file.
    File,
    /// An address to listen on.
    Address,
    /// A level of the log.
    Level,
    /// The name of a client.
    Name,
    /// A role.
    Role,
    /// A scope.
    Scope,
}

impl Value {
    /// Its name in descriptions.
    pub fn placeholder(self) -> &'static str {
        match self {
            Value::File => "FILE",
            Value::Address => "ADDRESS",
            Value::Level => "LEVEL",
            Value::Name => "NAME",
            Value::Role => "ROLE",
            Value::Scope => "SCOPE",
        }
    }
}

impl Flag {
    const fn new(long: &'static str, about: &'static str) -> Self {
        Flag { long, short: None, value: None, about }
    }

    const fn with_value(long: &'static str, value: Value, about: &'static str) -> Self {
        Flag { value: Some(value), ..Flag::new(long, about) }
    }

    const fn with_short(self, short: char) -> Self {
        Flag { short: Some(short), ..self }
    }

    /// How it is written: `-c, --config FILE`.
    pub fn usage(&self) -> String {
        let short = self.short.map(|short| format!("-{short}, ")).unwrap_or_default();
        let value = self.value.map(|value| format!(" {}", value.placeholder())).unwrap_or_default();
        format!("{short}--{}{value}", self.long)
    }
}

/// An argument of the command line.
pub(super) enum Arg {
    /// A flag by its long name, with its value; the value is empty if it takes none.
    Flag(&'static str, OsString),
    /// A word that is no flag.
    Word(OsString),
}

impl Arg {
    pub(super) fn unexpected(self) -> lexopt::Error {
        match self {
            Arg::Flag(name, _) => Parsed::Long(name).unexpected(),
            Arg::Word(word) => Parsed::Value(word).unexpected(),
        }
    }
}

/// The next argument of a command.
pub(super) fn next_arg(parser: &mut Parser, command: &CommandLine) -> Result<Option<Arg>, lexopt::Error> {
    let Some(arg) = parser.next()? else { return Ok(None) };
    let flag = match arg {
        Parsed::Value(word) => return Ok(Some(Arg::Word(word))),
        Parsed::Long(name) => command.flags.iter().find(|flag| flag.long == name),
        Parsed::Short(short) => command.flags.iter().find(|flag| flag.short == Some(short)),
    };
    let Some(flag) = flag else { return Err(arg.unexpected()) };
    let value = if flag.value.is_some() { parser.value()? } else { OsString::new() };
    Ok(Some(Arg::Flag(flag.long, value)))
}

/// The text of `--help`.
pub(super) fn help() -> String {
    let mut text = "aisopod-gateway: a WebSocket gateway daemon\n".to_owned();
    for command in COMMANDS {
        let name = if command.name.is_empty() { String::new() } else { format!(" {}", command.name) };
        // Writing to a string can't fail.
        let _ = write!(text, "\nusage: aisopod-gateway{name} [options]\n\n{}\n", command.about);
        let width = command.flags.iter().map(|flag| flag.usage().len()).max().unwrap_or_default();
        for flag in command.flags {
            let _ = writeln!(text, "  {:width$}  {}", flag.usage(), flag.about);
        }
    }
    text
}
