//! The command line: flags, the `token` subcommand, and loading the configuration.

use crate::auth::{SecretDigest, new_token};
use crate::config::{
    self, Config, ConfigError, ListenAddr, NAME_SYNTAX, SCOPE_SYNTAX, is_name, is_scope, parse_level, parse_listen,
};
use crate::server::process::descriptor_limit;
use lexopt::Parser;
use lexopt::prelude::*;
use std::path::{Path, PathBuf};

/// The configuration file that is used if it exists and `--config` isn't given.
pub(crate) const DEFAULT_FILE: &str = "/etc/aisopod-gateway/config.toml";

// Exit codes of sysexits(3).
const EX_USAGE: u8 = 64;
const EX_SOFTWARE: u8 = 70;
/// An invalid configuration.
pub(crate) const EX_CONFIG: u8 = 78;

const HELP: &str = "\
aisopod-gateway: a WebSocket gateway daemon

usage: aisopod-gateway [options]
       aisopod-gateway token --name NAME --role ROLE [--scope SCOPE]...

options:
  -c, --config FILE    the configuration file (default: /etc/aisopod-gateway/config.toml, if it exists)
  --listen ADDRESS     replaces the file's addresses; repeatable: 127.0.0.1:8080, [::1]:8080, unix:/run/x.sock
  --log-level LEVEL    replaces the file's log level: off, error, warn, info, debug, trace
  --check              check the configuration and exit
  -V, --version        print the version
  -h, --help           print this help

token prints a new random token, which isn't stored, and its [[auth.credentials]] block for the configuration.
";

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
    parse_flags(parser).unwrap_or_else(|error| usage_error(&error))
}

fn parse_flags(parser: &mut Parser) -> Result<Command, lexopt::Error> {
    let mut flags = Flags::default();
    while let Some(arg) = parser.next()? {
        match arg {
            Short('c') | Long("config") => flags.file = Some(parser.value()?.into()),
            Long("listen") => flags.listen.push(parser.value()?.string()?),
            Long("log-level") => flags.log_level = Some(parser.value()?.string()?),
            Long("check") => flags.check = true,
            Short('h') | Long("help") => return Ok(Command::Print(HELP.to_owned())),
            Short('V') | Long("version") => {
                return Ok(Command::Print(concat!("aisopod-gateway ", env!("CARGO_PKG_VERSION"), "\n").to_owned()));
            }
            Value(word) if word == "token" && flags == Flags::default() => return token_command(parser),
            other => return Err(other.unexpected()),
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
            Ok(config) => Command::Run { config: Box::new(config), source: ConfigSource(self) },
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

/// Runs `token --name NAME --role ROLE [--scope SCOPE]...`
fn token_command(parser: &mut Parser) -> Result<Command, lexopt::Error> {
    let Some(flags) = parse_token_flags(parser)? else {
        return Ok(Command::Print(HELP.to_owned()));
    };
    Ok(match new_token() {
        Ok(token) => Command::PrintToken(token_text(&token, &flags)),
        Err(error) => Command::Fail { code: EX_SOFTWARE, message: error.to_string() },
    })
}

/// The flags of `token`, validated: they need no escaping in TOML.
struct TokenFlags {
    name: String,
    role: String,
    scopes: Vec<String>,
}

/// Returns `None` for `--help`.
fn parse_token_flags(parser: &mut Parser) -> Result<Option<TokenFlags>, lexopt::Error> {
    let (mut name, mut role, mut scopes) = (None, None, Vec::new());
    while let Some(arg) = parser.next()? {
        match arg {
            Short('h') | Long("help") => return Ok(None),
            Long("name") => name = Some(parser.value()?.string()?),
            Long("role") => role = Some(parser.value()?.string()?),
            Long("scope") => match parser.value()?.string()? {
                scope if is_scope(&scope) => scopes.push(scope),
                _ => return Err(format!("--scope takes {SCOPE_SYNTAX}").into()),
            },
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(TokenFlags { name: required_name("--name", name)?, role: required_name("--role", role)?, scopes }))
}

fn required_name(flag: &str, value: Option<String>) -> Result<String, lexopt::Error> {
    match value {
        None => Err(format!("token needs {flag}").into()),
        Some(text) if is_name(&text) => Ok(text),
        Some(_) => Err(format!("{flag} takes {NAME_SYNTAX}").into()),
    }
}

fn token_text(token: &str, TokenFlags { name, role, scopes }: &TokenFlags) -> String {
    let scopes = scopes.iter().map(|scope| format!("\"{scope}\"")).collect::<Vec<_>>().join(", ");
    let digest = SecretDigest::of(token.as_bytes()).to_hex();
    format!(
        "# The token, which isn't shown again; give it to {name}:\n\
         {token}\n\
         \n\
         # For the configuration, with auth.mode = \"token\":\n\
         [[auth.credentials]]\n\
         name = \"{name}\"\n\
         role = \"{role}\"\n\
         scopes = [{scopes}]\n\
         token_sha256 = \"{digest}\"\n"
    )
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
