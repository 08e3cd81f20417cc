//! Programs and packages that some tests need. `make tools` installs them.

use std::io::Write;
use std::path::{Path, PathBuf};

/// The directory that `make tools` fills.
pub fn dir() -> PathBuf {
    match std::env::var_os("AISOPOD_TOOLS") {
        Some(dir) => dir.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools"),
    }
}

/// Its Python packages, for `PYTHONPATH`.
pub fn python_packages() -> PathBuf {
    dir().join("python")
}

/// Its Node packages, for `NODE_PATH`.
pub fn node_packages() -> PathBuf {
    dir().join("node/node_modules")
}

/// Finds a program or a package. If it is missing, reports the calling test as skipped; with `CI=true` it fails.
pub fn require(tool: &str) -> Option<PathBuf> {
    find(tool).or_else(|| skip(&format!("{tool} is not installed; make tools installs it")))
}

/// Checks that the tests run as root. If not, reports the calling test as skipped; with `CI=true` it fails.
pub fn require_root(purpose: &str) -> Option<()> {
    let id = std::process::Command::new("id").arg("-u").output().expect("id");
    if id.stdout == b"0\n" { Some(()) } else { skip(&format!("{purpose} needs root")) }
}

/// Reports the calling test as skipped; with `CI=true` it fails.
pub fn skip<T>(reason: &str) -> Option<T> {
    assert!(std::env::var_os("CI").is_none_or(|value| value != "true"), "can't be skipped in CI: {reason}");
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    // The test runner would capture eprintln!.
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {reason}");
    None
}

fn find(tool: &str) -> Option<PathBuf> {
    let mut dirs = vec![dir().join("bin"), python_packages(), node_packages()];
    dirs.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    // Programs in these may be run by all users, although they are not always in PATH.
    dirs.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
    dirs.into_iter().map(|dir| dir.join(tool)).find(|path| path.exists())
}
