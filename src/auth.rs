//! Authentication: checks credentials, and returns an identity with a role and scopes.
//!
//! Independent of HTTP, files and connections. Secrets are stored and compared only as SHA-256 digests.

use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// A client's role: it selects the presence policy, and whether the client is counted as an operator or as a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// `operator`: a person, a script, a web page.
    Operator,
    /// `node`: a device, an agent, a server.
    Node,
    /// Any other role; its clients count only in the total.
    Other(Arc<str>),
}

impl Role {
    /// The role's name in the configuration and in JSON.
    pub fn as_str(&self) -> &str {
        match self {
            Role::Operator => "operator",
            Role::Node => "node",
            Role::Other(word) => word,
        }
    }
}

impl From<&str> for Role {
    fn from(word: &str) -> Self {
        match word {
            "operator" => Role::Operator,
            "node" => Role::Node,
            other => Role::Other(other.into()),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An authenticated identity, shared by all connections with the same credential.
#[derive(Debug, PartialEq, Eq)]
pub struct AuthInfo {
    /// The credential's name, such as `alice` or `kitchen-pi`.
    pub name: Arc<str>,
    /// The credential's role.
    pub role: Role,
    /// The granted scopes; `*` includes all others.
    pub scopes: Arc<[Box<str>]>,
    /// `role:name`, the key by which presence and `node.invoke` find the connections.
    pub presence_key: Arc<str>,
}

impl AuthInfo {
    /// Creates an identity; its presence key is derived from role and name.
    pub fn new(name: &str, role: Role, scopes: impl IntoIterator<Item = Box<str>>) -> Self {
        let presence_key = format!("{role}:{name}").into();
        AuthInfo { name: name.into(), role, scopes: scopes.into_iter().collect(), presence_key }
    }

    /// Whether `scope` was granted, by name or by `*`.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|granted| **granted == *scope || &**granted == "*")
    }

    /// The identity of all clients if no authentication is configured: an operator with every scope.
    pub fn anonymous() -> Self {
        AuthInfo::new("anonymous", Role::Operator, ["*".into()])
    }
}

/// The SHA-256 digest of a secret; `Debug` hides it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecretDigest([u8; 32]);

impl SecretDigest {
    /// The digest of a secret as the client sends it.
    pub fn of(secret: &[u8]) -> Self {
        SecretDigest(Sha256::digest(secret).into())
    }

    /// Parses 64 hexadecimal digits of either case; `None` for anything else.
    pub fn from_hex(hex: &str) -> Option<Self> {
        let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok()?;
        Some(SecretDigest(bytes.try_into().ok()?))
    }

    /// Formats the digest as 64 lower-case hexadecimal digits.
    pub fn to_hex(self) -> String {
        data_encoding::HEXLOWER.encode(&self.0)
    }

    fn matches(&self, other: &SecretDigest) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretDigest(..)")
    }
}

/// A configured identity with the digest of its secret.
#[derive(Clone, Debug)]
pub struct Credential {
    /// The identity of a client that sends the secret.
    pub info: Arc<AuthInfo>,
    /// The digest of the token or password.
    pub digest: SecretDigest,
}

/// The credentials that a client sent.
pub enum Credentials<'a> {
    /// None.
    Nothing,
    /// A token, from `Authorization: Bearer` or a browser's subprotocol.
    Token(&'a [u8]),
    /// A name with its password, from `Authorization: Basic`.
    Password {
        /// The text before the first colon.
        name: &'a str,
        /// All bytes after the first colon.
        password: &'a [u8],
    },
}

/// The configured authentication mode with its credentials.
#[derive(Clone, Debug)]
pub enum Authenticator {
    /// No authentication: every client is this identity, [`AuthInfo::anonymous`].
    None(Arc<AuthInfo>),
    /// A token, which identifies its credential without a name.
    Token(Vec<Credential>),
    /// A name with its password.
    Password(Vec<Credential>),
}

impl Authenticator {
    /// No authentication.
    pub fn none() -> Self {
        Authenticator::None(Arc::new(AuthInfo::anonymous()))
    }

    /// Whether clients need no credentials.
    pub fn allows_anonymous(&self) -> bool {
        matches!(self, Authenticator::None(_))
    }

    /// All configured credentials; empty without authentication.
    pub fn credentials(&self) -> &[Credential] {
        match self {
            Authenticator::None(_) => &[],
            Authenticator::Token(all) | Authenticator::Password(all) => all,
        }
    }

    /// The mode's name in the configuration: `none`, `token` or `password`.
    pub fn mode(&self) -> &'static str {
        match self {
            Authenticator::None(_) => "none",
            Authenticator::Token(_) => "token",
            Authenticator::Password(_) => "password",
        }
    }

    /// The authentication scheme for `WWW-Authenticate` (RFC 9110, section 11.6.1).
    pub fn scheme(&self) -> &'static str {
        match self {
            Authenticator::Password(_) => "Basic",
            Authenticator::None(_) | Authenticator::Token(_) => "Bearer",
        }
    }

    /// Returns the identity of valid credentials; without authentication, any are valid. Returns `None` if they are of
    /// another mode, the name is unknown, or the secret is wrong.
    ///
    /// An unknown name takes about as long as a wrong secret: every digest is compared, in constant time. Names, which
    /// aren't secret, are compared with `==`.
    pub fn authenticate(&self, credentials: &Credentials<'_>) -> Option<Arc<AuthInfo>> {
        match (self, credentials) {
            (Authenticator::None(anonymous), _) => Some(anonymous.clone()),
            (Authenticator::Token(all), Credentials::Token(token)) => find_credential(all, None, token),
            (Authenticator::Password(all), Credentials::Password { name, password }) => {
                find_credential(all, Some(name), password)
            }
            _ => None,
        }
    }
}

fn find_credential(credentials: &[Credential], name: Option<&str>, secret: &[u8]) -> Option<Arc<AuthInfo>> {
    let digest = SecretDigest::of(secret);
    let mut found = u32::MAX;
    for (index, credential) in credentials.iter().enumerate() {
        let name_matches = name.is_none_or(|name| credential.info.name.as_bytes() == name.as_bytes());
        let matches = credential.digest.matches(&digest) & Choice::from(u8::from(name_matches));
        found.conditional_assign(&(index as u32), matches);
    }
    credentials.get(found as usize).map(|credential| credential.info.clone())
}

/// Creates a token: 32 random bytes as 43 base64url characters, all valid in a header and in a subprotocol's name.
///
/// # Errors
/// If the operating system's random generator fails.
pub fn new_token() -> std::io::Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(data_encoding::BASE64URL_NOPAD.encode(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(name: &str, role: &str, secret: &str) -> Credential {
        let info = Arc::new(AuthInfo::new(name, Role::from(role), ["read".into()]));
        Credential { info, digest: SecretDigest::of(secret.as_bytes()) }
    }

    fn name_of(info: Option<Arc<AuthInfo>>) -> Option<String> {
        info.map(|info| info.name.to_string())
    }

    #[test]
    fn token_matches_only_its_own_credential() {
        let auth = Authenticator::Token(vec![credential("alice", "operator", "a"), credential("pi", "node", "b")]);
        assert_eq!(name_of(auth.authenticate(&Credentials::Token(b"a"))).as_deref(), Some("alice"));
        assert_eq!(name_of(auth.authenticate(&Credentials::Token(b"b"))).as_deref(), Some("pi"));
        for wrong in [
            Credentials::Nothing,
            Credentials::Token(b""),
            Credentials::Token(b"c"),
            Credentials::Password { name: "alice", password: b"a" },
        ] {
            assert!(auth.authenticate(&wrong).is_none());
        }
    }

    #[test]
    fn password_matches_only_with_its_own_name() {
        let auth = Authenticator::Password(vec![credential("alice", "operator", "a"), credential("bob", "node", "b")]);
        let try_as = |name, password| name_of(auth.authenticate(&Credentials::Password { name, password }));
        assert_eq!(try_as("alice", b"a".as_slice()).as_deref(), Some("alice"));
        assert_eq!(try_as("bob", b"b".as_slice()).as_deref(), Some("bob"));
        assert_eq!(try_as("alice", b"b".as_slice()), None);
        assert_eq!(try_as("carol", b"a".as_slice()), None);
        assert!(auth.authenticate(&Credentials::Token(b"a")).is_none());
    }

    #[test]
    fn presence_key_is_role_and_name() {
        assert_eq!(&*AuthInfo::new("kitchen-pi", Role::Node, []).presence_key, "node:kitchen-pi");
        assert_eq!(&*AuthInfo::anonymous().presence_key, "operator:anonymous");
        assert_eq!(Role::from("probe").as_str(), "probe");
    }

    #[test]
    fn digest_is_64_hexadecimal_digits_and_hidden_in_debug() {
        let digest = SecretDigest::of(b"abc");
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest.to_hex(), hex);
        assert_eq!(SecretDigest::from_hex(&hex.to_uppercase()), Some(digest));
        assert_eq!(SecretDigest::from_hex("ba78"), None);
        assert_eq!(format!("{digest:?}"), "SecretDigest(..)");
    }

    #[test]
    fn new_tokens_differ_and_are_valid_in_a_subprotocol() {
        let (a, b) = (new_token().unwrap(), new_token().unwrap());
        assert_ne!(a, b);
        assert_eq!(a.len(), 43);
        assert!(a.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_'));
    }
}
