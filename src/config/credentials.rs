//! `[auth]`: the mode and its credentials.

use super::Config;
use super::secrets;
use super::section::{File, Section};
use super::value::{NAME_FORMS, SCOPE_FORMS, is_name, is_scope};
use crate::auth::{AuthInfo, Authenticator, Credential, Role, SecretDigest};
use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use toml::Spanned;
use toml::de::DeValue;

const MODES: &str = "allowed: \"none\", \"token\", \"password\"";

pub(super) fn read_auth(file: &mut File<'_>, section: &mut Section<'_>, config: &mut Config, dir: &Path) {
    let mode = section.take("mode");
    section.boolean(file, "allow_insecure", &mut config.allow_insecure);
    let word = mode.map_or(Some("none"), |value| value.get_ref().as_str());
    let kind = match word {
        Some("none") => None,
        Some("token") => Some(("token_sha256", "token_file")),
        Some("password") => Some(("password_sha256", "password_file")),
        _ => {
            file.refuse("auth.mode", mode.expect("a wrong word is a set one"), MODES);
            section.take("credentials");
            return;
        }
    };
    let credentials = section.take("credentials");
    let Some(kind) = kind else {
        if let Some(value) = credentials {
            file.problem(value.span(), "auth.credentials: not used while auth.mode is \"none\"; allowed: auth.mode = \"token\" or \"password\"".to_owned());
        }
        return;
    };
    let Some(DeValue::Array(entries)) = credentials.map(Spanned::get_ref) else {
        let span = mode.map_or(0..0, Spanned::span);
        file.problem(span, "auth.mode needs at least one [[auth.credentials]]".to_owned());
        return;
    };
    let mut all = Vec::new();
    let mut names = HashSet::new();
    for entry in entries.iter() {
        let Some(table) = entry.get_ref().as_table() else {
            file.refuse("auth.credentials", entry, "allowed: tables, [[auth.credentials]]");
            continue;
        };
        let mut section = Section::new("auth.credentials", table);
        if let Some(credential) = read_credential(file, &mut section, entry.span(), kind, dir) {
            if !names.insert(credential.info.name.clone()) {
                let name = &credential.info.name;
                file.problem(entry.span(), format!("auth.credentials.name = \"{name}\": a second one of that name"));
            }
            all.push(credential);
        }
        section.finish(file);
    }
    config.auth = if kind.0 == "token_sha256" { Authenticator::Token(all) } else { Authenticator::Password(all) };
}

fn read_credential(
    file: &mut File<'_>,
    section: &mut Section<'_>,
    span: Range<usize>,
    (digest_key, file_key): (&'static str, &'static str),
    dir: &Path,
) -> Option<Credential> {
    let name = section.required(file, "name", &span, is_name, &format!("allowed: {NAME_FORMS}"));
    let role = section.required(
        file,
        "role",
        &span,
        is_name,
        &format!("allowed: operator, node, or another word: {NAME_FORMS}"),
    );
    let mut scopes = Vec::new();
    section.strings(file, "scopes", is_scope, &format!("allowed: {SCOPE_FORMS}"), &mut scopes);
    let digest = match (section.take(digest_key), section.take(file_key)) {
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
    };
    let info = AuthInfo::new(&name?, Role::from(&*role?), scopes.into_iter().map(String::into_boxed_str));
    Some(Credential { info: Arc::new(info), digest: digest? })
}

fn read_secret_file(file: &mut File<'_>, key: &str, value: &Spanned<DeValue<'_>>, dir: &Path) -> Option<SecretDigest> {
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
