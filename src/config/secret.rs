//! Secrets of credentials: their files and digests, and which of them are refused.

use super::files::{is_absent, others_access};
use crate::auth::SecretDigest;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Maximum bytes of a secret, so that little is read if the path names the wrong file.
const MAX_SECRET_BYTES: u64 = 4096;

/// UTF-8, UTF-16 with the low byte first, UTF-16 with the high byte first.
const BYTE_ORDER_MARKS: [&[u8]; 3] = [b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"];

/// Digests that were in this program's example configuration. The first one is that of `abc`, as in FIPS 180.
const PUBLISHED_DIGESTS: [&str; 2] = [
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    "4193cf3fdd868d19c70d1073880361c847d2036d44814eb009f921e7001b8082",
];

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum SecretKind {
    Token,
    Password,
}

impl SecretKind {
    /// The setting with the secret's SHA-256.
    pub(crate) fn digest_key(self) -> &'static str {
        match self {
            SecretKind::Token => "token_sha256",
            SecretKind::Password => "password_sha256",
        }
    }

    /// The setting with the path of the secret's file.
    pub(crate) fn file_key(self) -> &'static str {
        match self {
            SecretKind::Token => "token_file",
            SecretKind::Password => "password_file",
        }
    }

    /// The values that the setting with the SHA-256 accepts, for messages.
    pub(crate) fn digest_syntax(self) -> &'static str {
        match self {
            SecretKind::Token => {
                "allowed: the 64 hexadecimal digits of a SHA-256; for a new token, this prints them: aisopod-gateway token \
                 --name NAME --role ROLE"
            }
            SecretKind::Password => {
                "allowed: the 64 hexadecimal digits of a SHA-256; this prints them: printf %s \"$PASSWORD\" | sha256sum"
            }
        }
    }
}

/// A secret that was read from a file.
pub(crate) struct FileSecret {
    pub(crate) digest: SecretDigest,
    /// Its length in bytes.
    pub(crate) length: usize,
}

/// Parses a SHA-256.
///
/// # Errors
/// What is allowed instead, or why this digest is refused.
pub(crate) fn parse_digest(hex: &str, kind: SecretKind) -> Result<SecretDigest, &'static str> {
    let digest = SecretDigest::from_hex(hex).ok_or(kind.digest_syntax())?;
    check_digest(&digest).map(|()| digest)
}

/// Refuses the digests of empty secrets and of published examples.
fn check_digest(digest: &SecretDigest) -> Result<(), &'static str> {
    // The second one is what `echo "" | sha256sum` prints.
    if ["", "\n"].iter().any(|secret| SecretDigest::of(secret.as_bytes()) == *digest) {
        return Err("this is the SHA-256 of an empty secret");
    }
    let is_example = PUBLISHED_DIGESTS.iter().any(|hex| SecretDigest::from_hex(hex).as_ref() == Some(digest));
    if is_example { Err("this is the secret of a published example, which everyone knows") } else { Ok(()) }
}

/// The path of a secret. A relative `name` is looked up in `$CREDENTIALS_DIRECTORY` (systemd's `LoadCredential=`), then
/// in the directory of the configuration file.
pub(crate) fn resolve_path(name: &str, config_dir: &Path) -> PathBuf {
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").filter(|dir| !dir.is_empty());
    let loaded = credentials.map(|dir| Path::new(&dir).join(name));
    match loaded {
        Some(path) if Path::new(name).is_relative() && !is_absent(&path) => path,
        _ => config_dir.join(name),
    }
}

/// The secret in a file, without a trailing newline.
///
/// # Errors
/// Why it can't be read, or is refused.
pub(crate) fn read_secret_file(path: &Path, kind: SecretKind) -> Result<FileSecret, String> {
    // Checked before the file is opened, because opening a FIFO without a writer blocks.
    let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("not a regular file".to_owned());
    }
    if let Some(access) = others_access(&metadata) {
        return Err(format!("{access}; run chmod o= {}", path.display()));
    }
    let mut secret = Vec::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    // The longest secret, a CR, an LF, and one byte more.
    file.take(MAX_SECRET_BYTES + 3).read_to_end(&mut secret).map_err(|error| error.to_string())?;
    let secret = secret.strip_suffix(b"\n").unwrap_or(&secret);
    let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
    if let Some(reason) = unusable(secret, kind) {
        return Err(reason);
    }
    let digest = SecretDigest::of(secret);
    check_digest(&digest)?;
    Ok(FileSecret { digest, length: secret.len() })
}

/// Returns why no client can send a secret. A token is a header's value or part of one, without white space (RFC 6750,
/// section 2.1); a password is encoded in base64 and has no control characters (RFC 7617, section 2).
fn unusable(secret: &[u8], kind: SecretKind) -> Option<String> {
    if secret.is_empty() {
        Some("the file is empty".to_owned())
    } else if secret.len() as u64 > MAX_SECRET_BYTES {
        Some(format!("larger than {MAX_SECRET_BYTES} bytes"))
    } else if BYTE_ORDER_MARKS.iter().any(|mark| secret.starts_with(mark)) {
        Some("begins with a byte order mark, which no client sends; save the file without it".to_owned())
    } else if secret.iter().any(|c| *c == b'\n' || *c == b'\r') {
        Some("has several lines; allowed: the secret alone".to_owned())
    } else if kind == SecretKind::Token && secret.iter().any(u8::is_ascii_whitespace) {
        Some("contains white space, which no client can send in a token".to_owned())
    } else if secret.iter().any(u8::is_ascii_control) {
        Some("contains control characters, which no client can send".to_owned())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_that_no_client_can_send_is_unusable() {
        let both = [SecretKind::Token, SecretKind::Password];
        for (secret, expected) in [
            (&b"secret"[..], [None; 2]),
            ("gr\u{fc}n".as_bytes(), [None; 2]),
            (b"two words", [Some("white space"), None]),
            (b" outer ", [Some("white space"), None]),
            (b"a\tb", [Some("white space"), Some("control")]),
            (b"a\x0cb", [Some("white space"), Some("control")]),
            (b"a\0b", [Some("control"); 2]),
            (b"a\x7fb", [Some("control"); 2]),
            (b"one\ntwo", [Some("several lines"); 2]),
            (b"one\r\n", [Some("several lines"); 2]),
            (b"\xef\xbb\xbfsecret", [Some("byte order mark"); 2]),
            (b"\xff\xfes\0", [Some("byte order mark"); 2]),
            (b"\xef\xbb\xbf", [Some("byte order mark"); 2]),
            (b"", [Some("empty"); 2]),
        ] {
            for (kind, expected) in both.into_iter().zip(expected) {
                let reason = unusable(secret, kind);
                assert_eq!(reason.is_some(), expected.is_some(), "{secret:?} is {reason:?}");
                assert!(reason.unwrap_or_default().contains(expected.unwrap_or_default()), "{secret:?}");
            }
        }
    }
}
