//! Credentials: what goes into the configuration and what a client sends.

use super::Gateway;
use aisopod_gateway::auth::SecretDigest;
use std::process::Command;

/// A token made by `aisopod-gateway token`.
pub struct Credential {
    pub token: String,
    /// The `[auth]` section with only this credential. Other sections may be appended.
    pub settings: String,
}

impl Credential {
    pub fn new(name: &str, role: &str) -> Credential {
        let output = Command::new(Gateway::binary()).args(["token", "--name", name, "--role", role]).output().unwrap();
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let (_, entry) = text.split_once("[[auth.credentials]]").unwrap_or_else(|| panic!("no entry: {text}"));
        let token = text.lines().find(|line| !line.starts_with('#')).expect("a token").to_owned();
        Credential { token, settings: format!("[auth]\nmode = \"token\"\n[[auth.credentials]]{entry}\n") }
    }

    /// The value of the `Authorization` header.
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.token)
    }
}

/// The SHA-256 of a secret in hex, as in the configuration.
pub fn digest(secret: &str) -> String {
    SecretDigest::of(secret.as_bytes()).to_hex()
}
