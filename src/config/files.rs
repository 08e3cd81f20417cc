//! The configuration's files: whether they exist.

use std::io::ErrorKind;
use std::path::Path;

/// Whether nothing has this path: neither a file that can't be looked up, for example for lack of permission, nor a link
/// whose target is missing, nor anything in a directory that is such a link.
pub(crate) fn is_absent(path: &Path) -> bool {
    let is_missing = path.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound);
    is_missing && path.parent().is_none_or(|parent| parent.exists() || is_absent(parent))
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
