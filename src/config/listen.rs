//! Addresses to listen on: their syntax, and which of them can't be used together.

use std::fmt;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// The values that `listen` and `--listen` accept, for messages.
const LISTEN_SYNTAX: &str = "allowed: an IP address with a port, such as \"127.0.0.1:8080\" or \"[::1]:8080\", or \
                             a Unix socket, such as \"unix:/run/aisopod-gateway/gateway.sock\"";
const PATH_SYNTAX: &str = "allowed: a path of at most 107 bytes, without control characters";
const LINK_LOCAL_SYNTAX: &str = "allowed: a link-local address with the number of its interface, \"[fe80::1%2]:8080\"";

/// Maximum bytes of a Unix socket's path: `sun_path` has 108, with a final NUL.
const MAX_PATH_BYTES: usize = 107;

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddr {
    /// An IP address and a port; with port 0 the system chooses a free one.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl ListenAddr {
    /// Whether only this machine can reach it.
    pub fn is_local(&self) -> bool {
        match self {
            ListenAddr::Tcp(addr) => addr.ip().to_canonical().is_loopback(),
            ListenAddr::Unix(_) => true,
        }
    }

    /// Whether the two conflict, so that binding the second fails or a connection could reach either: they are the same
    /// path in any spelling, or they have the same port and the same IP address or an unspecified one of the same family. Addresses with port 0 never
    /// overlap, since each gets another port.
    pub fn overlaps(&self, other: &ListenAddr) -> bool {
        match (self, other) {
            (ListenAddr::Tcp(a), ListenAddr::Tcp(b)) => {
                let (a, b) = (unmapped(*a), unmapped(*b));
                let is_shared =
                    a == b || a.is_ipv4() == b.is_ipv4() && (a.ip().is_unspecified() || b.ip().is_unspecified());
                a.port() == b.port() && a.port() != 0 && is_shared
            }
            (ListenAddr::Unix(a), ListenAddr::Unix(b)) => resolved(a) == resolved(b),
            _ => false,
        }
    }

    /// Returns the address unchanged if it can be bound together with `others`.
    ///
    /// # Errors
    /// Why it can't: it overlaps another one, or its path is a file other than a socket.
    pub(crate) fn check_with(self, others: &[ListenAddr]) -> Result<Self, String> {
        match others.iter().find(|other| self.overlaps(other)) {
            Some(other) if self == *other => Err(format!("duplicate address \"{self}\"")),
            Some(other) => Err(format!("\"{self}\" is taken by \"{other}\"; allowed: another address or port")),
            None if self.is_other_file() => Err(format!("\"{self}\" exists and isn't a socket; allowed: another path")),
            None => Ok(self),
        }
    }

    fn is_other_file(&self) -> bool {
        let ListenAddr::Unix(path) = self else { return false };
        fs::symlink_metadata(path).is_ok_and(|metadata| !metadata.file_type().is_socket())
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddr::Tcp(addr) => addr.fmt(f),
            ListenAddr::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Parses `127.0.0.1:8080`, `[::]:8080` or `unix:/an/absolute/path`. An IPv4 address mapped to IPv6 becomes IPv4.
///
/// # Errors
/// What is allowed instead.
pub fn parse_listen(text: &str) -> Result<ListenAddr, &'static str> {
    match text.strip_prefix("unix:") {
        Some(path) if !path.starts_with('/') || path.ends_with('/') => Err(LISTEN_SYNTAX),
        Some(path) if path.len() > MAX_PATH_BYTES || path.contains(char::is_control) => Err(PATH_SYNTAX),
        Some(path) => Ok(ListenAddr::Unix(path.into())),
        None => match text.parse().map(unmapped).map_err(|_| LISTEN_SYNTAX)? {
            SocketAddr::V6(addr) if addr.ip().is_unicast_link_local() && addr.scope_id() == 0 => Err(LINK_LOCAL_SYNTAX),
            addr => Ok(ListenAddr::Tcp(addr)),
        },
    }
}

/// The IPv4 address of one that is mapped to IPv6 (`::ffff:127.0.0.1`); any other address as it is.
pub(crate) fn unmapped(addr: SocketAddr) -> SocketAddr {
    match addr.ip().to_canonical() {
        IpAddr::V4(ip) => (ip, addr.port()).into(),
        IpAddr::V6(_) => addr,
    }
}

/// A path without symbolic links and `..` in its directory, if that exists.
fn resolved(path: &Path) -> PathBuf {
    let dir = path.parent().and_then(|dir| dir.canonicalize().ok());
    dir.zip(path.file_name()).map_or_else(|| path.to_owned(), |(dir, name)| dir.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> ListenAddr {
        parse_listen(text).unwrap_or_else(|expected| panic!("{text}: {expected}"))
    }

    #[test]
    fn parse_listen_accepts_numeric_addresses_and_absolute_unix_paths() {
        assert_eq!(parse("[::1]:80").to_string(), "[::1]:80");
        assert_eq!(parse("[fe80::1%2]:80").to_string(), "[fe80::1%2]:80");
        assert_eq!(parse("[::ffff:127.0.0.1]:80").to_string(), "127.0.0.1:80");
        assert_eq!(parse("unix:/run/x"), ListenAddr::Unix("/run/x".into()));
        let path = |length: usize| format!("unix:/{}", "x".repeat(length - 1));
        assert!(parse_listen(&path(107)).is_ok());
        for (wrong, expected) in [
            ("", LISTEN_SYNTAX),
            ("8080", LISTEN_SYNTAX),
            ("localhost:8080", LISTEN_SYNTAX),
            ("127.0.0.1", LISTEN_SYNTAX),
            ("127.0.0.1:99999", LISTEN_SYNTAX),
            ("unix:", LISTEN_SYNTAX),
            ("unix:run/x", LISTEN_SYNTAX),
            ("unix:/run/", LISTEN_SYNTAX),
            ("unix:/run/a\nb", PATH_SYNTAX),
            ("unix:/run/\0", PATH_SYNTAX),
            (&path(108), PATH_SYNTAX),
            ("[fe80::1]:80", LINK_LOCAL_SYNTAX),
        ] {
            assert_eq!(parse_listen(wrong), Err(expected), "{wrong}");
        }
        for (text, local) in [
            ("127.9.9.9:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("unix:/x", true),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
            ("192.0.2.1:1", false),
        ] {
            assert_eq!(parse(text).is_local(), local, "{text}");
        }
    }

    #[test]
    fn addresses_overlap_if_they_can_not_both_be_bound() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().to_str().unwrap();
        std::os::unix::fs::symlink(dir, format!("{dir}/link")).unwrap();
        for (a, b, overlaps) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "[::]:80", false),
            ("0.0.0.0:80", "[::1]:80", false),
            ("[::]:80", "127.0.0.1:80", false),
            ("[::]:80", "[::1]:80", true),
            ("[::ffff:127.0.0.1]:80", "127.0.0.1:80", true),
            ("[::ffff:127.0.0.1]:80", "0.0.0.0:80", true),
            ("[fe80::1%2]:80", "[fe80::1%3]:80", false),
            ("127.0.0.1:80", "unix:/80", false),
            ("unix:DIR/a", "unix:DIR/b", false),
            ("unix:DIR/a", "unix:DIR//./a", true),
            ("unix:DIR/a", "unix:DIR/link/a", true),
            ("unix:/missing/a", "unix:/missing/a", true),
        ] {
            let [a, b] = [a, b].map(|text| parse(&text.replace("DIR", dir)));
            assert_eq!((a.overlaps(&b), b.overlaps(&a)), (overlaps, overlaps), "{a} and {b}");
        }
    }
}
