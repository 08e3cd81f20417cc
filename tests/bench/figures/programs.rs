//! The programs that take part beside the gateway, built by cargo under the gateway's own target directory.

use crate::gateway::{Gateway, target_dir};
use std::path::{Path, PathBuf};
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Where the programs are.
pub struct Programs {
    /// The gateway's library with a handler that echoes.
    pub echo: PathBuf,
    /// The load generator.
    pub load: PathBuf,
    /// The directory of the peers.
    peers: PathBuf,
}

impl Programs {
    /// Builds whatever isn't up to date.
    pub fn build() -> Self {
        let (target, sources) = (target_dir(), Path::new(ROOT).join("tests"));
        let [load, peers] = ["load", "peers"].map(|package| {
            let built = target.join(package);
            build(&sources.join(package), &built, &[]);
            built.join("release")
        });
        build(Path::new(ROOT), &target, &["--example", "echo"]);
        let release = Gateway::binary().parent().expect("a directory");
        Programs { echo: release.join("examples/echo"), load: load.join("load"), peers }
    }

    /// A peer's program.
    pub fn peer(&self, name: &str) -> PathBuf {
        self.peers.join(name)
    }
}

/// The directory of the peers' sources, where those that aren't built are.
pub fn peers_sources() -> PathBuf {
    Path::new(ROOT).join("tests/peers")
}

fn build(package: &Path, target: &Path, what: &[&str]) {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--locked", "--quiet"]).args(what);
    command.arg("--manifest-path").arg(package.join("Cargo.toml")).arg("--target-dir").arg(target);
    eprintln!("building {}", package.strip_prefix(ROOT).unwrap_or(package).join(what.last().unwrap_or(&"")).display());
    let status = command.status().expect("cargo");
    assert!(status.success(), "{command:?}: {status}");
}
