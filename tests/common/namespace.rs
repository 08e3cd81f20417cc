//! Network namespaces of Linux: a network of its own for a test.

use super::tools::{require, require_root};
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A network namespace whose loopback interface is up. Deleted when dropped.
pub struct Namespace {
    name: String,
    ip: PathBuf,
}

impl Namespace {
    /// Creates one; `None` if this user can't.
    pub fn create() -> Option<Namespace> {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let ip = require("ip")?;
        require_root("a network namespace")?;
        let name = format!("aisopod-test-{}-{}", std::process::id(), LAST.fetch_add(1, Ordering::Relaxed));
        assert!(Command::new(&ip).args(["netns", "add", &name]).status().unwrap().success());
        let namespace = Namespace { name, ip };
        namespace.ip(&["link", "set", "lo", "up"]);
        Some(namespace)
    }

    /// Runs `ip` with these arguments for the namespace.
    pub fn ip(&self, arguments: &[&str]) {
        let status = Command::new(&self.ip).args(["-n", &self.name]).args(arguments).status().unwrap();
        assert!(status.success(), "ip {arguments:?}");
    }

    /// A command that runs a program in the namespace.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(&self.ip);
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // If this fails, an empty namespace is left over.
        let _ = Command::new(&self.ip).args(["netns", "delete", &self.name]).status();
    }
}
