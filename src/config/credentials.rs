//! The section `[auth]`: the mode and the credentials.

use super::document::Table;
use super::parse::{NAME_SYNTAX, SCOPE_SYNTAX, is_name, is_scope};
use super::secret::{SecretKind, parse_digest, read_secret_file, resolve_path};
use crate::auth::{AuthInfo, Authenticator, Credential, Role, SecretDigest};
use crate::config::Config;
use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeArray, DeValue};

const UNUSED_CREDENTIALS: &str =
    "auth.credentials isn't used while auth.mode is \"none\"; set auth.mode = \"token\" or \"password\"";
const CREDENTIALS_SYNTAX: &str =
    "auth.credentials is a list of tables: write [[auth.credentials]], with two brackets, above each credential";
const MODE_SYNTAX: &str = "allowed: \"none\", \"token\", \"password\"";

/// A shorter token gets a warning.
const MIN_TOKEN_BYTES: usize = 20;

/// Reads `[auth]` into `config`. `dir` is the configuration file's directory, for relative paths of secrets.
pub(crate) fn read_auth(section: &mut Table<'_, '_>, config: &mut Config, dir: &Path) {
    let mode = section.take("mode");
    let credentials = section.take("credentials");
    let kind = match mode.map(|value| (value, value.get_ref().as_str())) {
        None | Some((_, Some("none"))) => {
            if let Some(value) = credentials {
                section.error_at(value.span(), UNUSED_CREDENTIALS);
            }
            return;
        }
        Some((_, Some("token"))) => Some(SecretKind::Token),
        Some((_, Some("password"))) => Some(SecretKind::Password),
        Some((value, _)) => {
            section.invalid_value("mode", value, MODE_SYNTAX);
            None
        }
    };
    let entries = match credentials.map(|value| (value, value.get_ref().as_array())) {
        Some((value, None)) => return section.error_at(value.span(), CREDENTIALS_SYNTAX),
        Some((_, Some(entries))) if !entries.is_empty() => entries,
        _ => {
            let span = credentials.or(mode).map_or(0..0, Spanned::span);
            return report_missing_credentials(section, span, kind);
        }
    };
    let credentials = read_credentials(section, entries, kind, dir);
    match kind {
        Some(SecretKind::Token) => config.auth = Authenticator::Token(credentials),
        Some(SecretKind::Password) => config.auth = Authenticator::Password(credentials),
        None => {}
    }
}

fn report_missing_credentials(section: &mut Table<'_, '_>, span: Range<usize>, kind: Option<SecretKind>) {
    let advice = match kind {
        None => return,
        Some(SecretKind::Token) => "; create one with: aisopod-gateway token --name NAME --role ROLE",
        Some(SecretKind::Password) => "",
    };
    section.error_at(span, format!("auth.mode needs at least one [[auth.credentials]]{advice}"));
}

/// Reads all credentials. `kind` is `None` if the mode is invalid: then everything but the secrets is checked.
fn read_credentials<'t>(
    section: &mut Table<'_, 't>,
    entries: &'t DeArray<'t>,
    kind: Option<SecretKind>,
    dir: &Path,
) -> Vec<Credential> {
    let mut credentials = Vec::new();
    let (mut names, mut digests) = (HashSet::new(), HashSet::new());
    for entry in entries.iter() {
        let Some(table) = entry.get_ref().as_table() else {
            section.error_at(entry.span(), CREDENTIALS_SYNTAX);
            continue;
        };
        let mut table = section.child("auth.credentials", table);
        if let Some(credential) = read_credential(&mut table, entry.span(), kind, dir) {
            let name = &credential.info.name;
            if !names.insert(name.clone()) {
                table.error_at(entry.span(), format!("auth.credentials.name = \"{name}\": duplicate name"));
            // A client with a token sends no name: the token alone must identify it.
            } else if kind == Some(SecretKind::Token) && !digests.insert(credential.digest) {
                table.error_at(entry.span(), format!("auth.credentials.name = \"{name}\": duplicate token"));
            }
            credentials.push(credential);
        }
        table.reject_unknown();
    }
    credentials
}

fn read_credential(
    table: &mut Table<'_, '_>,
    span: Range<usize>,
    kind: Option<SecretKind>,
    dir: &Path,
) -> Option<Credential> {
    let role_syntax = format!("allowed: operator, node, or another word: {NAME_SYNTAX}");
    let name = table.required("name", &span, is_name, &format!("allowed: {NAME_SYNTAX}"));
    let role = table.required("role", &span, is_name, &role_syntax);
    let mut scopes = Vec::new();
    let parse_scope = |text: &str| is_scope(text).then(|| text.to_owned());
    table.strings("scopes", parse_scope, &format!("allowed: {SCOPE_SYNTAX}"), &mut scopes);
    let mut not_after = None;
    table.time("not_after", &mut not_after);
    let digest = match kind {
        Some(kind) => read_secret(table, span, kind, dir),
        None => {
            for kind in [SecretKind::Token, SecretKind::Password] {
                table.take(kind.digest_key());
                table.take(kind.file_key());
            }
            None
        }
    };
    let info = AuthInfo::new(name?, Role::from(role?), scopes.into_iter().map(String::into_boxed_str));
    Some(Credential { info: Arc::new(info.valid_until(not_after)), digest: digest? })
}

fn read_secret(table: &mut Table<'_, '_>, span: Range<usize>, kind: SecretKind, dir: &Path) -> Option<SecretDigest> {
    let (digest_key, file_key) = (kind.digest_key(), kind.file_key());
    match (table.take(digest_key), table.take(file_key)) {
        (Some(value), None) => {
            let digest = value.get_ref().as_str().ok_or(kind.digest_syntax()).and_then(|hex| parse_digest(hex, kind));
            // The value isn't shown: it may be the secret itself.
            let report = |problem| table.error_at(value.span(), format!("auth.credentials.{digest_key}: {problem}"));
            digest.map_err(report).ok()
        }
        (None, Some(value)) => read_file_setting(table, kind, value, dir),
        (None, None) => {
            table.error_at(span, format!("auth.credentials: {digest_key} or {file_key} is missing"));
            None
        }
        (Some(_), Some(_)) => {
            table.error_at(span, format!("auth.credentials: set {digest_key} or {file_key}, not both"));
            None
        }
    }
}

/// Reads the secret that `token_file` or `password_file` names.
fn read_file_setting(
    table: &mut Table<'_, '_>,
    kind: SecretKind,
    value: &Spanned<DeValue<'_>>,
    dir: &Path,
) -> Option<SecretDigest> {
    let key = kind.file_key();
    let Some(name) = value.get_ref().as_str() else {
        table.invalid_value(key, value, "allowed: a path");
        return None;
    };
    let path = resolve_path(name, dir);
    let setting = format!("auth.credentials.{key} = \"{}\"", path.display());
    let secret = match read_secret_file(&path, kind) {
        Ok(secret) => secret,
        Err(error) => {
            table.error_at(value.span(), format!("{setting}: {error}"));
            return None;
        }
    };
    if kind == SecretKind::Token && secret.length < MIN_TOKEN_BYTES {
        let advice = "create a token that can't be guessed with: aisopod-gateway token --name NAME --role ROLE";
        table.warn_at(value.span(), format!("{setting}: the token has only {} bytes; {advice}", secret.length));
    }
    Some(secret.digest)
}
