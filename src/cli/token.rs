//! `aisopod-gateway token`: a new token, with its block for the configuration.

use super::table::{Arg, HELP, TOKEN, help, next_arg};
use super::{Command, EX_SOFTWARE};
use crate::auth::{SecretDigest, new_token};
use crate::config::{NAME_SYNTAX, SCOPE_SYNTAX, is_name, is_scope};
use lexopt::{Parser, ValueExt};

/// The flags, validated: they need no escaping in TOML.
struct TokenFlags {
    name: String,
    role: String,
    scopes: Vec<String>,
}

/// Parses the flags of the command, and runs it.
pub(super) fn parse(parser: &mut Parser) -> Result<Command, lexopt::Error> {
    let Some(flags) = parse_flags(parser)? else {
        return Ok(Command::Print(help()));
    };
    Ok(match new_token() {
        Ok(token) => Command::PrintToken(token_text(&token, &flags)),
        Err(error) => Command::Fail { code: EX_SOFTWARE, message: error.to_string() },
    })
}

/// Returns `None` for `--help`.
fn parse_flags(parser: &mut Parser) -> Result<Option<TokenFlags>, lexopt::Error> {
    let (mut name, mut role, mut scopes) = (None, None, Vec::new());
    while let Some(arg) = next_arg(parser, &TOKEN)? {
        match arg {
            Arg::Flag(HELP, _) => return Ok(None),
            Arg::Flag("name", value) => name = Some(value.string()?),
            Arg::Flag("role", value) => role = Some(value.string()?),
            Arg::Flag("scope", value) => match value.string()? {
                scope if is_scope(&scope) => scopes.push(scope),
                _ => return Err(format!("--scope takes {SCOPE_SYNTAX}").into()),
            },
            Arg::Flag(..) | Arg::Word(_) => return Err(arg.unexpected()),
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
