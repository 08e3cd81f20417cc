//! The command line: flags, subcommands, and loading the configuration.

mod table;
mod token;

pub use table::{COMMANDS, CommandLine, Flag, Value};

use crate::config::{self, Config, ConfigError, ListenAddr, parse_level, parse_listen};
use crate::server::process::descriptor_limit;
use lexopt::{Parser, ValueExt};
use std::path::{Path, PathBuf};
use table::{Arg, HELP, RUN, TOKEN, VERSION, help, next_arg};

/// The configuration file that is used if it exists and `--config` isn't given.
pub(crate) const DEFAULT_FILE: &str = "/etc/aisopod-gateway/config.toml";

// Exit codes of sysexits(3).
const EX_USAGE: u8 = 64;
const EX_SOFTWARE: u8 = 70;
/// An invalid configuration.
pub(crate) const EX_CONFIG: u8 = 78;

/// The action that the command line requests.
pub enum Command {
    /// Run the gateway.
    Run {
        /// The configuration.
        config: Box<Config>,
        /// Where it comes from.
        source: ConfigSource,
    },
    /// Report that the configuration is valid, with its warnings.
    Check {
        /// The configuration.
        config: Box<Config>,
        /// Whether it was loaded from a file; otherwise it has the defaults.
        from_file: bool,
    },
    /// Print a text to standard output and exit successfully.
    Print(String),
    /// Print a new token to standard output and exit successfully. It isn't stored, so it must not be lost.
    PrintToken(String),
    /// Print a message to standard error and exit.
    Fail {
        /// The exit code.
        code: u8,
        /// One or more lines, without a trailing newline.
        message: String,
    },
}

/// Parses the arguments of the process, and loads the configuration that they name.
pub fn parse() -> Command {
    parse_from(&mut Parser::from_env())
}

fn parse_from(parser: &mut Parser) -> Command {
    parse_command(parser).unwrap_or_else(|error| usage_error(&error))
}

fn parse_command(parser: &mut Parser) -> Result<Command, lexopt::Error> {
    let mut flags = Flags::default();
    while let Some(arg) = next_arg(parser, &RUN)? {
        match arg {
            Arg::Flag(HELP, _) => return Ok(Command::Print(help())),
            Arg::Flag(VERSION, _) => {
                return Ok(Command::Print(format!("aisopod-gateway {}\n", env!("CARGO_PKG_VERSION"))));
            }
            Arg::Flag("config", value) => flags.file = Some(value.into()),
            Arg::Flag("listen", value) => flags.listen.push(value.string()?),
            Arg::Flag("log-level", value) => flags.log_level = Some(value.string()?),
            Arg::Flag("check", _) => flags.check = true,
            Arg::Word(word) if word == TOKEN.name && flags == Flags::default() => return token::parse(parser),
            Arg::Flag(..) | Arg::Word(_) => return Err(arg.unexpected()),
        }
    }
    Ok(flags.into_command())
}

fn usage_error(error: &lexopt::Error) -> Command {
    Command::Fail { code: EX_USAGE, message: format!("aisopod-gateway: {error}; see --help") }
}

#[derive(Clone, Default, PartialEq)]
struct Flags {
    file: Option<PathBuf>,
    listen: Vec<String>,
    log_level: Option<String>,
    check: bool,
}

/// Where the configuration comes from: a file or the defaults, with the flags that replace settings of it.
#[derive(Clone)]
pub struct ConfigSource(Flags);

impl ConfigSource {
    /// Loads the configuration again.
    ///
    /// # Errors
    /// The problems of the file.
    pub fn load(&self) -> Result<Config, ConfigError> {
        self.0.load_config(self.0.config_file())
    }
}

impl Flags {
    /// The file that a flag names, or else the default one if it exists. One that exists but can't be read is an error:
    /// falling back to the defaults would admit clients without credentials.
    fn config_file(&self) -> Option<&Path> {
        let default_file = || Some(Path::new(DEFAULT_FILE)).filter(|file| !config::is_absent(file));
        self.file.as_deref().or_else(default_file)
    }

    fn into_command(self) -> Command {
        let file = self.config_file();
        match self.load_config(file) {
            Ok(config) if self.check => Command::Check { config: Box::new(config), from_file: file.is_some() },
            Ok(config) => {
                // If the default file disappears, a reload must fail: the defaults admit clients without credentials.
                let file = file.map(Path::to_owned);
                Command::Run { config: Box::new(config), source: ConfigSource(Flags { file, ..self }) }
            }
            Err(error) => {
                let is_default = self.file.is_none() && file.is_some();
                let hint =
                    if is_default { "\nthis is the default configuration; --config names another file" } else { "" };
                Command::Fail { code: EX_CONFIG, message: format!("{error}{hint}") }
            }
        }
    }

    /// Loads the file, or else the defaults, and applies the flags. Reports the problems of the file and of the flags.
    fn load_config(&self, file: Option<&Path>) -> Result<Config, ConfigError> {
        let descriptors = descriptor_limit();
        let mut problems = Vec::new();
        let listen = self.parse_listen_flags(&mut problems);
        let loaded = match file {
            Some(file) => config::load(file, descriptors, listen),
            None => default_config(descriptors, listen),
        };
        let mut config = loaded.unwrap_or_else(|error| {
            problems.extend(error.0);
            Config::new(descriptors)
        });
        if let Some(text) = &self.log_level {
            match parse_level(text) {
                Some(level) => config.log_level = level,
                None => {
                    let message = format!("\"{text}\"; allowed: off, error, warn, info, debug, trace");
                    problems.extend(ConfigError::new("--log-level", message).0);
                }
            }
        }
        if problems.is_empty() { Ok(config) } else { Err(ConfigError(problems)) }
    }

    fn parse_listen_flags(&self, problems: &mut Vec<config::Problem>) -> Vec<ListenAddr> {
        let mut listen: Vec<ListenAddr> = Vec::new();
        for text in &self.listen {
            let addr = parse_listen(text).map_err(|expected| format!("\"{text}\"; {expected}"));
            match addr.and_then(|addr| addr.check_with(&listen)) {
                Ok(addr) => listen.push(addr),
                Err(problem) => problems.extend(ConfigError::new("--listen", problem).0),
            }
        }
        listen
    }
}

/// The default configuration; `listen` replaces its addresses unless it is empty.
fn default_config(descriptors: usize, listen: Vec<ListenAddr>) -> Result<Config, ConfigError> {
    let mut config = Config::new(descriptors);
    if !listen.is_empty() {
        config.listen = listen;
    }
    match config.exposure_error() {
        Some(message) => Err(ConfigError::new("--listen", message)),
        None => Ok(config),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Command {
        parse_from(&mut Parser::from_args(args))
    }

    #[test]
    fn short_flags_work_like_the_long_ones() {
        for (short, long) in [("-h", "--help"), ("-V", "--version")] {
            match (parse(&[short]), parse(&[long])) {
                (Command::Print(short), Command::Print(long)) => assert_eq!(short, long),
                _ => panic!("{short} and {long} differ"),
            }
        }
        for flag in ["-c", "--config"] {
            let Command::Fail { code, message } = parse(&["--check", flag, "/nonexistent/config.toml"]) else {
                panic!("{flag} names a file that doesn't exist");
            };
            assert_eq!((code, message.split_once(':').unwrap().0), (EX_CONFIG, "/nonexistent/config.toml"));
        }
        assert!(matches!(parse(&["-x"]), Command::Fail { code: EX_USAGE, .. }));
    }

    #[test]
    fn duplicate_listen_flag_is_reported() {
        let flags = Flags { listen: vec!["[::1]:80".to_owned(), "[::1]:80".to_owned()], ..Flags::default() };
        let error = flags.load_config(None).unwrap_err();
        assert_eq!(error.to_string(), "--listen: duplicate address \"[::1]:80\"");
    }

    #[test]
    fn exposed_listen_flag_without_a_file_suggests_the_token_command() {
        let flags = Flags { listen: vec!["0.0.0.0:80".to_owned()], ..Flags::default() };
        let message = flags.load_config(None).unwrap_err().to_string();
        assert!(message.starts_with("--listen: listen \"0.0.0.0:80\" can be reached from other machines"), "{message}");
        assert!(message.contains("aisopod-gateway token --name NAME --role ROLE"), "{message}");
    }

    #[test]
    fn check_reports_whether_a_file_was_loaded() {
        let file = tempfile::NamedTempFile::new().unwrap();
        match parse(&["--check", "-c", file.path().to_str().unwrap()]) {
            Command::Check { from_file, .. } => assert!(from_file),
            _ => panic!("an empty file is a valid configuration"),
        }
    }
}
