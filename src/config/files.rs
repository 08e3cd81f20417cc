//! The configuration's files: whether they exist, and whether others can change them.

use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Whether a path certainly doesn't exist. False if the lookup fails for another reason, such as lack of permission, and
/// if the path or a directory above it is a dangling link.
pub(crate) fn is_absent(path: &Path) -> bool {
    let is_missing = path.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound);
    is_missing && path.parent().is_none_or(|parent| parent.exists() || is_absent(parent))
}

/// The text of a configuration file that others can't write.
///
/// # Errors
/// Why it can't be read, or is refused.
pub(crate) fn read_config(path: &Path) -> Result<String, String> {
    let mut file = File::open(path).map_err(|error| error.to_string())?;
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    // Anyone may write to a device such as /dev/null. Members of the group may write: its owner chose them.
    if metadata.is_file() && mode(&metadata) & 0o002 != 0 {
        let mode = mode(&metadata);
        return Err(format!("others can write this file (mode {mode:03o}); run chmod o-w {}", path.display()));
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(|error| error.to_string())?;
    Ok(text)
}

/// Returns what others than the owner and the group can do with a secret's file, if anything.
pub(crate) fn others_access(metadata: &Metadata) -> Option<String> {
    let mode = mode(metadata);
    let access = if mode & 0o004 != 0 { "read" } else { "access" };
    (mode & 0o007 != 0).then(|| format!("others can {access} this file (mode {mode:03o})"))
}

/// The permission bits.
fn mode(metadata: &Metadata) -> u32 {
    metadata.permissions().mode() & 0o777
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_a_path_that_nothing_has_is_absent() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("file"), "").unwrap();
        symlink(at("missing"), at("dangling")).unwrap();
        symlink(at("endless"), at("endless")).unwrap();
        for (path, absent) in [
            ("missing", true),
            ("missing/file", true),
            ("missing/other/file", true),
            ("file", false),
            ("file/file", false),
            ("dangling", false),
            ("dangling/file", false),
            ("dangling/other/file", false),
            ("endless", false),
        ] {
            assert_eq!(is_absent(&at(path)), absent, "{path}");
        }
    }
}
