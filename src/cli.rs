//! The command line.

use crate::auth::{SecretDigest, new_token};
use crate::config::{
    self, Config, ConfigError, LISTEN_SYNTAX, ListenAddr, NAME_SYNTAX, SCOPE_SYNTAX, is_name, is_scope, parse_level,
    parse_listen,
};
use crate::server::process::descriptor_limit;
use lexopt::Parser;
use lexopt::prelude::*;
use std::path::{Path, PathBuf};

/// Used if it is there and no other file is named.
const DEFAULT_FILE: &str = "/etc/aisopod-gateway/config.toml";

/// `EX_USAGE`, `EX_SOFTWARE` and `EX_CONFIG` of sysexits(3).
const EX_USAGE: u8 = 64;
const EX_SOFTWARE: u8 = 70;
const EX_CONFIG: u8 = 78;

const HELP: &str = "\
aisopod-gateway: a WebSocket gateway daemon

usage: aisopod-gateway [options]
       aisopod-gateway token --name NAME --role ROLE [--scope SCOPE]...

options:
  --config FILE        the configuration (default: /etc/aisopod-gateway/config.toml, if it is there)
  --listen ADDRESS     instead of the file's; repeatable: 127.0.0.1:8080, [::1]:8080, unix:/run/x.sock
  --log-level LEVEL    off, error, warn, info, debug, trace
  --check              check the configuration and exit
  --version, --help

token prints a new random token once, and what to put into the configuration for it.
";

/// What to do.
pub enum Command {
    /// Serve.
    Run(Box<Config>),
    /// Say that this is valid, and what is doubtful about it.
    Check(Box<Config>),
    /// Show this and end well.
    Print(String),
    /// Show this and end with that code.
    Fail {
        /// The exit code.
        code: u8,
        /// What is wrong.
        message: String,
    },
}

/// Reads the process's arguments.
pub fn parse() -> Command {
    read(&mut Parser::from_env()).unwrap_or_else(|error| usage(&error))
}

fn read(parser: &mut Parser) -> Result<Command, lexopt::Error> {
    let mut flags = Flags::default();
    while let Some(arg) = parser.next()? {
        match arg {
            Long("config") => flags.file = Some(parser.value()?.into()),
            Long("listen") => flags.listen.push(parser.value()?.string()?),
            Long("log-level") => flags.log_level = Some(parser.value()?.string()?),
            Long("check") => flags.check = true,
            Short('h') | Long("help") => return Ok(Command::Print(HELP.to_owned())),
            Short('V') | Long("version") => {
                return Ok(Command::Print(concat!("aisopod-gateway ", env!("CARGO_PKG_VERSION"), "\n").to_owned()));
            }
            Value(word) if word == "token" && flags == Flags::default() => return token(parser),
            other => return Err(other.unexpected()),
        }
    }
    Ok(flags.into_command())
}

fn usage(error: &lexopt::Error) -> Command {
    Command::Fail { code: EX_USAGE, message: format!("aisopod-gateway: {error}; --help shows what is allowed") }
}

#[derive(Default, PartialEq)]
struct Flags {
    file: Option<PathBuf>,
    listen: Vec<String>,
    log_level: Option<String>,
    check: bool,
}

impl Flags {
    fn into_command(self) -> Command {
        match self.config() {
            Ok(config) if self.check => Command::Check(Box::new(config)),
            Ok(config) => Command::Run(Box::new(config)),
            Err(error) => Command::Fail { code: EX_CONFIG, message: error.to_string() },
        }
    }

    /// The file's settings, and the flags over them.
    fn config(&self) -> Result<Config, ConfigError> {
        let default = Path::new(DEFAULT_FILE);
        let file = self.file.as_deref().or(default.exists().then_some(default));
        let mut problems = Vec::new();
        let mut note = |error: ConfigError| problems.extend(error.0);
        let descriptors = descriptor_limit();
        let mut listen = Vec::new();
        for text in &self.listen {
            match parse_listen(text) {
                Some(addr) if listen.iter().any(|other| addr.is_same(other)) => {
                    note(ConfigError::new("--listen", format!("\"{text}\"; it stands there twice; allowed: once")));
                }
                Some(addr) => listen.push(addr),
                None => note(ConfigError::new("--listen", format!("\"{text}\"; {LISTEN_SYNTAX}"))),
            }
        }
        let loaded = file.map_or_else(
            || without_file(descriptors, listen.clone()),
            |file| config::load(file, descriptors, listen.clone()),
        );
        let mut config = loaded.unwrap_or_else(|error| {
            note(error);
            Config::new(descriptors)
        });
        match self.log_level.as_deref().map(|text| (text, parse_level(text))) {
            Some((_, Some(level))) => config.log_level = level,
            Some((text, None)) => {
                let allowed = "allowed: off, error, warn, info, debug, trace";
                note(ConfigError::new("--log-level", format!("\"{text}\"; {allowed}")));
            }
            None => {}
        }
        if problems.is_empty() { Ok(config) } else { Err(ConfigError(problems)) }
    }
}

/// The embedded default with the command line's addresses.
fn without_file(descriptors: usize, listen: Vec<ListenAddr>) -> Result<Config, ConfigError> {
    let mut config = Config::new(descriptors);
    if !listen.is_empty() {
        config.listen = listen;
    }
    match config.exposure_error() {
        Some(message) => Err(ConfigError::new("--listen", message)),
        None => Ok(config),
    }
}

/// `token --name NAME --role ROLE [--scope SCOPE]...`
fn token(parser: &mut Parser) -> Result<Command, lexopt::Error> {
    let Some((name, role, scopes)) = read_token_flags(parser)? else {
        return Ok(Command::Print(HELP.to_owned()));
    };
    Ok(match new_token() {
        Ok(token) => Command::Print(token_text(&token, &name, &role, &scopes)),
        Err(error) => Command::Fail { code: EX_SOFTWARE, message: error.to_string() },
    })
}

/// `None` where help is asked for.
fn read_token_flags(parser: &mut Parser) -> Result<Option<(String, String, Vec<String>)>, lexopt::Error> {
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
    let word = |flag: &str, text: Option<String>| match text {
        None => Err(lexopt::Error::from(format!("token needs {flag}"))),
        Some(text) if is_name(&text) => Ok(text),
        Some(_) => Err(lexopt::Error::from(format!("{flag} takes {NAME_SYNTAX}"))),
    };
    Ok(Some((word("--name", name)?, word("--role", role)?, scopes)))
}

fn token_text(token: &str, name: &str, role: &str, scopes: &[String]) -> String {
    let scopes = scopes.iter().map(|scope| format!("\"{scope}\"")).collect::<Vec<_>>().join(", ");
    let digest = SecretDigest::of(token.as_bytes()).to_hex();
    format!(
        "# The token, shown this once; give it to {name}:\n\
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
