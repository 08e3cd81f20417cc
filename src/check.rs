//! The warnings about a valid configuration, and the report of `--check`.

use crate::auth::{Credential, Role};
use crate::cli::DEFAULT_FILE;
use crate::config::{Config, ListenAddr, did_you_mean};
use crate::rpc::method::scope;
use crate::server::listener::Listener;

/// What `--check` prints for a valid configuration.
pub fn check_report(config: &Config, from_file: bool) -> String {
    let mut report = String::new();
    if !from_file {
        report += &format!("checked the defaults: no --config, and no {DEFAULT_FILE}\n");
    }
    for warning in config_warnings(config).into_iter().chain(bind_warnings(config)) {
        report += &format!("warning: {warning}\n");
    }
    report + "the configuration is valid\n"
}

/// Warnings about settings that are valid but probably mistakes.
pub fn config_warnings(config: &Config) -> Vec<String> {
    let mut warnings: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    let is_exposed = !config.listen.iter().chain(&config.ops.listen).all(ListenAddr::is_local);
    if config.auth.allows_anonymous() && is_exposed {
        let message = "other machines can connect without credentials and get every scope: auth.mode is \"none\" and \
                       auth.allow_insecure is true";
        warnings.push(message.to_owned());
    }
    if config.auth.allows_anonymous() && config.handshake.allowed_origins.iter().any(|origin| origin == "null") {
        let message = "handshake.allowed_origins = \"null\": every web page can connect from a sandboxed frame, which has \
                       this origin, and get every scope: auth.mode is \"none\"";
        warnings.push(message.to_owned());
    }
    let credentials = config.auth.credentials();
    warnings.extend(credentials.iter().flat_map(credential_warnings));
    let used_roles = || credentials.iter().map(|credential| &credential.info.role);
    for (role, _) in &config.presence.0 {
        if matches!(role, Role::Other(_)) && used_roles().all(|used| used != role) {
            let known_roles = ["operator", "node"].into_iter().chain(used_roles().map(Role::as_str));
            let suggestion = did_you_mean(role.as_str(), known_roles);
            warnings.push(format!("presence.{role}: no credential has the role {role}{suggestion}"));
        }
    }
    warnings
}

/// Warnings about unknown scopes and a probably misspelt role.
fn credential_warnings(credential: &Credential) -> Vec<String> {
    let name = &credential.info.name;
    let mut warnings = Vec::new();
    if let Role::Other(role) = &credential.info.role {
        let suggestion = did_you_mean(role, ["operator", "node"]);
        if !suggestion.is_empty() {
            warnings.push(format!("credential {name}: unusual role {role}{suggestion}"));
        }
    }
    for unknown in credential.info.scopes().iter().filter(|name| !is_known_scope(name)) {
        let suggestion = did_you_mean(unknown, scope::ALL.iter().copied());
        warnings.push(format!("credential {name}: unknown scope {unknown}{suggestion}"));
    }
    warnings
}

/// Whether a scope is one of the gateway's, or one with a pattern, in which `*` stands for any text at the end only.
fn is_known_scope(name: &str) -> bool {
    let pattern = |scope: &&str| name.strip_prefix(*scope)?.strip_prefix(':');
    let is_valid = |pattern: &str| !pattern.is_empty() && !pattern[..pattern.len() - 1].contains('*');
    scope::ALL.contains(&name) || scope::WITH_PATTERN.iter().filter_map(pattern).any(is_valid)
}

/// Warnings about addresses that can't be bound on this machine now: they may exist when the gateway starts. An
/// address in use isn't reported: the running gateway may be using it.
fn bind_warnings(config: &Config) -> impl Iterator<Item = String> {
    let listen = config.listen.iter().map(|addr| ("listen", addr));
    let all = listen.chain(config.ops.listen.iter().map(|addr| ("ops.listen", addr)));
    all.filter_map(|(key, addr)| Some(format!("{key} \"{addr}\" can't be bound now: {}", Listener::bind_error(addr)?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{AuthInfo, Authenticator, SecretDigest};
    use crate::config::{PresencePolicies, PresencePolicy};
    use std::sync::Arc;

    fn with_credential(role: &str, scopes: &[&str]) -> Config {
        let info = AuthInfo::new("pi", Role::from(role), scopes.iter().map(|scope| (*scope).into()));
        let credential = Credential { info: Arc::new(info), digest: SecretDigest::of(b"secret") };
        Config { auth: Authenticator::Token(vec![credential]), ..Config::new(1024) }
    }

    #[test]
    fn check_without_a_file_reports_that_it_checked_the_defaults() {
        let valid = "the configuration is valid\n";
        assert_eq!(check_report(&Config::new(1024), true), valid);
        let notice = "checked the defaults: no --config, and no /etc/aisopod-gateway/config.toml\n";
        assert_eq!(check_report(&Config::new(1024), false), format!("{notice}{valid}"));
    }

    #[test]
    fn misspelt_scopes_and_roles_get_a_warning_with_a_suggestion() {
        let config = with_credential("nodes", &["client:read", "clients:write", "*", "reports"]);
        assert_eq!(
            config_warnings(&config),
            [
                "credential pi: unusual role nodes (did you mean node?)",
                "credential pi: unknown scope client:read (did you mean clients:read?)",
                "credential pi: unknown scope reports",
            ]
        );
        assert!(check_report(&config, true).starts_with("warning: credential pi: unusual role nodes"));
        let valid = ["events:publish", "events:read:site.*", "events:publish:a", "nodes:invoke:*"];
        assert!(config_warnings(&with_credential("probe", &valid)).is_empty());
        let invalid = ["events:read:", "events:read:a*b", "clients:read:x"];
        assert_eq!(config_warnings(&with_credential("probe", &invalid)).len(), 3);
    }

    #[test]
    fn presence_policy_of_an_unused_role_gets_a_warning() {
        let policies = ["nodes", "probes", "camera", "node"].map(|role| (role.into(), PresencePolicy::Reject));
        let config = Config { presence: PresencePolicies(policies.into()), ..with_credential("probe", &[]) };
        assert_eq!(
            config_warnings(&config),
            [
                "presence.nodes: no credential has the role nodes (did you mean node?)",
                "presence.probes: no credential has the role probes (did you mean probe?)",
                "presence.camera: no credential has the role camera",
            ]
        );
    }

    #[test]
    fn exposed_address_without_credentials_gets_a_warning() {
        let exposed = vec![ListenAddr::Tcp(([0, 0, 0, 0], 80).into())];
        let config = Config { listen: exposed, allow_insecure: true, ..Config::new(1024) };
        let warnings = config_warnings(&config);
        assert!(warnings.len() == 1 && warnings[0].contains("without credentials"), "{warnings:?}");
        assert!(config_warnings(&Config::new(1024)).is_empty());
    }
}
