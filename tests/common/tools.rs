//! Where the programs and packages are that some tests need; `make tools` installs them.

use std::io::Write;
use std::path::{Path, PathBuf};

/// The directory that `make tools` fills.
pub fn dir() -> PathBuf {
    match std::env::var_os("AISOPOD_TOOLS") {
        Some(dir) => dir.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools"),
    }
}

/// The Python packages among them, for `PYTHONPATH`.
pub fn python_packages() -> PathBuf {
    dir().join("python")
}

/// The Node packages among them, for `NODE_PATH`.
pub fn node_packages() -> PathBuf {
    dir().join("node/node_modules")
}

/// Finds a program or a package. Without it the calling test says that it is skipped; with `CI=true` it fails.
pub fn require(tool: &str) -> Option<PathBuf> {
    find(tool).or_else(|| skip(&format!("{tool} is not installed; make tools installs it")))
}

/// Whether the tests run as root. Without it the calling test says that it is skipped; with `CI=true` it fails.
pub fn require_root(what_for: &str) -> Option<()> {
    let id = std::process::Command::new("id").arg("-u").output().expect("id");
    if id.stdout == b"0\n" { Some(()) } else { skip(&format!("{what_for} needs root")) }
}

/// Says that the calling test is skipped; with `CI=true` it fails.
pub fn skip<T>(why: &str) -> Option<T> {
    assert!(std::env::var_os("CI").is_none_or(|value| value != "true"), "not to be skipped in CI: {why}");
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    // Not eprintln!, which the test runner swallows.
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
    None
}

fn find(tool: &str) -> Option<PathBuf> {
    let mut places = vec![dir().join("bin"), python_packages(), node_packages()];
    places.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    // Not in everybody's PATH, but good for reading.
    places.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
    places.into_iter().map(|place| place.join(tool)).find(|path| path.exists())
}
