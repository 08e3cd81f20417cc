//! A credential's secret: a digest in the file, or a file of its own.

use crate::auth::SecretDigest;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Longer than any token or password; a wrong path may name a large file.
const MAX_SECRET_BYTES: u64 = 4096;

/// Where the secret in a file named `name` is: `$CREDENTIALS_DIRECTORY` first (systemd's `LoadCredential=`), then
/// beside the configuration file.
pub(crate) fn locate(name: &str, config_dir: &Path) -> PathBuf {
    let loaded = std::env::var_os("CREDENTIALS_DIRECTORY").map(|dir| Path::new(&dir).join(name));
    match loaded {
        Some(path) if Path::new(name).is_relative() && path.exists() => path,
        _ => config_dir.join(name),
    }
}

/// The digest of the secret that a file holds, without the line's end behind it.
pub(crate) fn read_digest(path: &Path) -> Result<SecretDigest, String> {
    let mut file = File::open(path).map_err(|error| error.to_string())?;
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("not a regular file".to_owned());
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o007 != 0 {
        return Err(format!("mode {mode:03o} lets others at it; allowed: nothing for others, as with chmod 600"));
    }
    let mut secret = Vec::new();
    file.by_ref().take(MAX_SECRET_BYTES + 1).read_to_end(&mut secret).map_err(|error| error.to_string())?;
    let secret = secret.strip_suffix(b"\n").unwrap_or(&secret);
    let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
    match secret.len() as u64 {
        0 => Err("empty".to_owned()),
        length if length > MAX_SECRET_BYTES => Err(format!("larger than {MAX_SECRET_BYTES} bytes")),
        _ => Ok(SecretDigest::of(secret)),
    }
}
