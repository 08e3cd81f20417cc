//! `[auth]`: the mode and its credentials.

use super::document::{Document, Table};
use super::parse::{NAME_SYNTAX, SCOPE_SYNTAX, is_name, is_scope};
use crate::auth::{AuthInfo, Authenticator, Credential, Role, SecretDigest};
use crate::config::Config;
use crate::config::secrets;
use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeArray, DeValue};

const UNUSED: &str =
    "auth.credentials: not used while auth.mode is \"none\"; allowed: auth.mode = \"token\" or \"password\"";
const TABLES: &str = "allowed: tables, [[auth.credentials]]";
const MODES: &str = "allowed: \"none\", \"token\", \"password\"";

/// What proves who a client is, where something must.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Token,
    Password,
    /// The mode is wrong; what else is wrong can be told all the same.
    Unknown,
}

const TOKEN_KEYS: (&str, &str) = ("token_sha256", "token_file");
const PASSWORD_KEYS: (&str, &str) = ("password_sha256", "password_file");

pub(crate) fn read_auth(file: &mut Document<'_>, section: &mut Table<'_>, config: &mut Config, dir: &Path) {
    let (mode, credentials) = (section.take("mode"), section.take("credentials"));
    section.boolean(file, "allow_insecure", &mut config.allow_insecure);
    let kind = match mode.map(|value| (value, value.get_ref().as_str())) {
        None | Some((_, Some("none"))) => {
            if let Some(value) = credentials {
                file.problem(value.span(), UNUSED);
            }
            return;
        }
        Some((_, Some("token"))) => Kind::Token,
        Some((_, Some("password"))) => Kind::Password,
        Some((value, _)) => {
            file.refuse("auth.mode", value, MODES);
            Kind::Unknown
        }
    };
    let entries = match credentials.map(|value| (value, value.get_ref().as_array())) {
        Some((value, None)) => return file.refuse("auth.credentials", value, TABLES),
        Some((_, Some(entries))) if !entries.is_empty() => entries,
        _ if kind == Kind::Unknown => return,
        _ => {
            let span = credentials.or(mode).map_or(0..0, Spanned::span);
            return file.problem(span, "auth.mode needs at least one [[auth.credentials]]");
        }
    };
    let all = read_credentials(file, entries, kind, dir);
    match kind {
        Kind::Token => config.auth = Authenticator::Token(all),
        Kind::Password => config.auth = Authenticator::Password(all),
        Kind::Unknown => {}
    }
}

fn read_credentials(file: &mut Document<'_>, entries: &DeArray<'_>, kind: Kind, dir: &Path) -> Vec<Credential> {
    let mut all = Vec::new();
    let (mut names, mut tokens) = (HashSet::new(), HashSet::new());
    for entry in entries.iter() {
        let Some(table) = entry.get_ref().as_table() else {
            file.refuse("auth.credentials", entry, TABLES);
            continue;
        };
        let mut section = Table::new("auth.credentials", table);
        if let Some(credential) = read_credential(file, &mut section, entry.span(), kind, dir) {
            let name = &credential.info.name;
            if !names.insert(name.clone()) {
                file.problem(entry.span(), format!("auth.credentials.name = \"{name}\": a second one of that name"));
            // A token alone says who it is.
            } else if kind == Kind::Token && !tokens.insert(credential.digest) {
                file.problem(entry.span(), format!("auth.credentials.name = \"{name}\": another has the same token"));
            }
            all.push(credential);
        }
        section.finish(file);
    }
    all
}

fn read_credential(
    file: &mut Document<'_>,
    section: &mut Table<'_>,
    span: Range<usize>,
    kind: Kind,
    dir: &Path,
) -> Option<Credential> {
    let name = section.required(file, "name", &span, is_name, &format!("allowed: {NAME_SYNTAX}"));
    let role = section.required(
        file,
        "role",
        &span,
        is_name,
        &format!("allowed: operator, node, or another word: {NAME_SYNTAX}"),
    );
    let mut scopes = Vec::new();
    section.strings(file, "scopes", is_scope, &format!("allowed: {SCOPE_SYNTAX}"), &mut scopes);
    let digest = match kind {
        Kind::Token => read_secret(file, section, span, TOKEN_KEYS, dir),
        Kind::Password => read_secret(file, section, span, PASSWORD_KEYS, dir),
        Kind::Unknown => {
            for key in [TOKEN_KEYS.0, TOKEN_KEYS.1, PASSWORD_KEYS.0, PASSWORD_KEYS.1] {
                section.take(key);
            }
            None
        }
    };
    let info = AuthInfo::new(&name?, Role::from(&*role?), scopes.into_iter().map(String::into_boxed_str));
    Some(Credential { info: Arc::new(info), digest: digest? })
}

fn read_secret(
    file: &mut Document<'_>,
    section: &mut Table<'_>,
    span: Range<usize>,
    (digest_key, file_key): (&'static str, &'static str),
    dir: &Path,
) -> Option<SecretDigest> {
    match (section.take(digest_key), section.take(file_key)) {
        (Some(value), None) => {
            let digest = value.get_ref().as_str().and_then(SecretDigest::from_hex);
            if digest.is_none() {
                // The value may be a secret in the wrong place: it isn't shown.
                file.problem(
                    value.span(),
                    format!("auth.credentials.{digest_key}: allowed: the 64 hexadecimal digits of a SHA-256"),
                );
            }
            digest
        }
        (None, Some(value)) => read_secret_file(file, file_key, value, dir),
        (both, _) => {
            let wrong = if both.is_some() { "not both" } else { "one is needed" };
            file.problem(span, format!("auth.credentials: {digest_key} or {file_key}: {wrong}"));
            None
        }
    }
}

fn read_secret_file(
    file: &mut Document<'_>,
    key: &str,
    value: &Spanned<DeValue<'_>>,
    dir: &Path,
) -> Option<SecretDigest> {
    let Some(name) = value.get_ref().as_str() else {
        file.refuse(&format!("auth.credentials.{key}"), value, "allowed: a path");
        return None;
    };
    let path = secrets::locate(name, dir);
    match secrets::read_digest(&path) {
        Ok(digest) => Some(digest),
        Err(error) => {
            file.problem(value.span(), format!("auth.credentials.{key} = \"{}\": {error}", path.display()));
            None
        }
    }
}
