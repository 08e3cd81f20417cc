//! The programs of the benchmark, built by cargo under the gateway's target directory.

use crate::gateway::{Gateway, target_dir};
use std::path::{Path, PathBuf};
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

pub struct Programs {
    /// The gateway's library with a handler that echoes.
    pub echo: PathBuf,
    pub load: PathBuf,
    baselines: PathBuf,
}

impl Programs {
    /// Builds all programs that aren't up to date.
    pub fn build() -> Self {
        let (target, sources) = (target_dir(), Path::new(ROOT).join("tests/bench"));
        let [load, baselines] = ["load", "baselines"].map(|package| {
            let package_target = target.join(package);
            build(&sources.join(package), &package_target, &[]);
            package_target.join("release")
        });
        build(Path::new(ROOT), &target, &["--example", "echo"]);
        let release = Gateway::binary().parent().expect("the binary is in a directory");
        Programs { echo: release.join("examples/echo"), load: load.join("load"), baselines }
    }

    pub fn baseline(&self, name: &str) -> PathBuf {
        self.baselines.join(name)
    }
}

fn build(package: &Path, target: &Path, arguments: &[&str]) {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--locked", "--quiet"]).args(arguments);
    command.arg("--manifest-path").arg(package.join("Cargo.toml")).arg("--target-dir").arg(target);
    let name = package.strip_prefix(ROOT).unwrap_or(package).join(arguments.last().unwrap_or(&""));
    eprintln!("building {}", name.display());
    let status = command.status().expect("cargo starts");
    assert!(status.success(), "{command:?}: {status}");
}
