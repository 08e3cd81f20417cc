//! The section `[auth]`: the mode, the credentials, and the files with secrets.

use super::document::Table;
use super::parse::{NAME_SYNTAX, SCOPE_SYNTAX, is_name, is_scope};
use crate::auth::{AuthInfo, Authenticator, Credential, Role, SecretDigest};
use crate::config::Config;
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Read;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeArray, DeValue};

const UNUSED_CREDENTIALS: &str =
    "auth.credentials isn't used while auth.mode is \"none\"; set auth.mode = \"token\" or \"password\"";
const CREDENTIALS_SYNTAX: &str =
    "auth.credentials is a list of tables: write [[auth.credentials]], with two brackets, above each credential";
const MODE_SYNTAX: &str = "allowed: \"none\", \"token\", \"password\"";

/// Maximum bytes of a secret, so that little is read if the path names the wrong file.
const MAX_SECRET_BYTES: u64 = 4096;

#[derive(Clone, Copy, PartialEq)]
enum SecretKind {
    Token,
    Password,
}

impl SecretKind {
    /// The setting with the secret's SHA-256.
    fn digest_key(self) -> &'static str {
        match self {
            SecretKind::Token => "token_sha256",
            SecretKind::Password => "password_sha256",
        }
    }

    /// The setting with the path of the secret's file.
    fn file_key(self) -> &'static str {
        match self {
            SecretKind::Token => "token_file",
            SecretKind::Password => "password_file",
        }
    }
}

/// Reads `[auth]` into `config`. `dir` is the configuration file's directory, for relative paths of secrets.
pub(crate) fn read_auth(section: &mut Table<'_, '_>, config: &mut Config, dir: &Path) {
    let mode = section.take("mode");
    let credentials = section.take("credentials");
    section.boolean("allow_insecure", &mut config.allow_insecure);
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
    Some(Credential { info: Arc::new(info), digest: digest? })
}

fn read_secret(table: &mut Table<'_, '_>, span: Range<usize>, kind: SecretKind, dir: &Path) -> Option<SecretDigest> {
    let (digest_key, file_key) = (kind.digest_key(), kind.file_key());
    match (table.take(digest_key), table.take(file_key)) {
        (Some(value), None) => {
            let digest = value.get_ref().as_str().and_then(SecretDigest::from_hex);
            if digest.is_none() {
                // The value isn't shown: it may be the secret itself.
                let message = format!("auth.credentials.{digest_key}: allowed: the 64 hexadecimal digits of a SHA-256");
                table.error_at(value.span(), message);
            }
            digest
        }
        (None, Some(value)) => read_secret_file(table, file_key, value, dir),
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

fn read_secret_file(
    table: &mut Table<'_, '_>,
    key: &str,
    value: &Spanned<DeValue<'_>>,
    dir: &Path,
) -> Option<SecretDigest> {
    let Some(name) = value.get_ref().as_str() else {
        table.invalid_value(key, value, "allowed: a path");
        return None;
    };
    let path = resolve_secret_path(name, dir);
    match read_digest(&path) {
        Ok(digest) => Some(digest),
        Err(error) => {
            table.error_at(value.span(), format!("auth.credentials.{key} = \"{}\": {error}", path.display()));
            None
        }
    }
}

/// The path of a secret. A relative `name` is looked up in `$CREDENTIALS_DIRECTORY` (systemd's `LoadCredential=`), then
/// in the directory of the configuration file.
fn resolve_secret_path(name: &str, config_dir: &Path) -> PathBuf {
    let loaded = std::env::var_os("CREDENTIALS_DIRECTORY").map(|dir| Path::new(&dir).join(name));
    match loaded {
        Some(path) if Path::new(name).is_relative() && path.exists() => path,
        _ => config_dir.join(name),
    }
}

/// The digest of the secret in a file, without a trailing newline.
fn read_digest(path: &Path) -> Result<SecretDigest, String> {
    // Checked before the file is opened, because opening a FIFO without a writer blocks.
    let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("not a regular file".to_owned());
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o007 != 0 {
        let access = if mode & 0o004 != 0 { "read" } else { "access" };
        return Err(format!("others can {access} this file (mode {mode:03o}); run chmod 600 {}", path.display()));
    }
    let mut secret = Vec::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    // The longest secret, a CR, an LF, and one byte more.
    file.take(MAX_SECRET_BYTES + 3).read_to_end(&mut secret).map_err(|error| error.to_string())?;
    let secret = secret.strip_suffix(b"\n").unwrap_or(&secret);
    let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
    match secret.len() as u64 {
        0 => Err("the file is empty".to_owned()),
        length if length > MAX_SECRET_BYTES => Err(format!("larger than {MAX_SECRET_BYTES} bytes")),
        _ => Ok(SecretDigest::of(secret)),
    }
}
