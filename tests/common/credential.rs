//! A token made by the gateway's own command, and the settings that let it in.

use super::Gateway;
use std::process::Command;

pub struct Credential {
    pub token: String,
    /// `[auth]` with this credential alone; tables may follow.
    pub settings: String,
}

impl Credential {
    pub fn new(name: &str, role: &str) -> Credential {
        let output = Command::new(Gateway::binary()).args(["token", "--name", name, "--role", role]).output().unwrap();
        let text = String::from_utf8(output.stdout).expect("text");
        let (_, entry) = text.split_once("[[auth.credentials]]").unwrap_or_else(|| panic!("no entry: {text}"));
        let token = text.lines().find(|line| !line.starts_with('#')).expect("a token").to_owned();
        Credential { token, settings: format!("[auth]\nmode = \"token\"\n[[auth.credentials]]{entry}\n") }
    }

    /// As an `Authorization` header's value.
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.token)
    }
}
