//! Credentials in, [`AuthInfo`] out: who somebody is and what they may do.
//!
//! Knows nothing of HTTP, files or connections. Secrets are held and compared as SHA-256 digests.

use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// What a client is, for the counts and for what it may do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// A person, a command line, a web page.
    Operator,
    /// A device, an agent, a server.
    Node,
    /// Any other configured word; it counts in the total only.
    Other(Arc<str>),
}

impl Role {
    /// The word as configured and shown: `operator`, `node`, or another.
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

/// What authentication proved. One for each credential, shared by all its connections.
#[derive(Debug, PartialEq, Eq)]
pub struct AuthInfo {
    /// The credential's name, such as `alice` or `kitchen-pi`.
    pub name: Arc<str>,
    /// The credential's role.
    pub role: Role,
    /// What it may do; `*` is everything.
    pub scopes: Arc<[Box<str>]>,
    /// `role:name`: who is connected, across all connections of that name.
    pub presence_key: Arc<str>,
}

impl AuthInfo {
    /// Joins role and name to the presence key.
    pub fn new(name: &str, role: Role, scopes: impl IntoIterator<Item = Box<str>>) -> Self {
        let presence_key = format!("{role}:{name}").into();
        AuthInfo { name: name.into(), role, scopes: scopes.into_iter().collect(), presence_key }
    }

    /// Whether it may do what needs this scope.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|has| **has == *scope || &**has == "*")
    }

    /// Everybody, where no authentication is configured: an operator with every scope.
    pub fn anonymous() -> Self {
        AuthInfo::new("anonymous", Role::Operator, ["*".into()])
    }
}

/// A secret's SHA-256; its `Debug` shows nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecretDigest([u8; 32]);

impl SecretDigest {
    /// The digest of a secret as the client sends it.
    pub fn of(secret: &[u8]) -> Self {
        SecretDigest(Sha256::digest(secret).into())
    }

    /// A digest as configured: 64 hexadecimal digits of either case.
    pub fn from_hex(hex: &str) -> Option<Self> {
        let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok()?;
        Some(SecretDigest(bytes.try_into().ok()?))
    }

    /// 64 lower-case hexadecimal digits.
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

/// A configured name with its secret.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Who the secret's holder is.
    pub info: Arc<AuthInfo>,
    /// The token's or password's digest.
    pub digest: SecretDigest,
}

/// What a client showed of itself.
pub enum Credentials<'a> {
    /// Nothing.
    Nothing,
    /// A token: `Authorization: Bearer`, or a browser's subprotocol.
    Token(&'a [u8]),
    /// A name and its password: `Authorization: Basic`.
    Password {
        /// The name before the first colon.
        name: &'a str,
        /// All after it.
        password: &'a [u8],
    },
}

/// How clients prove who they are, and who they can be.
#[derive(Clone, Debug)]
pub enum Authenticator {
    /// Everybody is [`AuthInfo::anonymous`].
    None(Arc<AuthInfo>),
    /// By a token alone.
    Token(Vec<Credential>),
    /// By name and password.
    Password(Vec<Credential>),
}

impl Authenticator {
    /// Lets everybody in as `anonymous`.
    pub fn none() -> Self {
        Authenticator::None(Arc::new(AuthInfo::anonymous()))
    }

    /// Whether anybody is let in without a secret.
    pub fn allows_anonymous(&self) -> bool {
        matches!(self, Authenticator::None(_))
    }

    /// All who can be let in by a secret.
    pub fn credentials(&self) -> &[Credential] {
        match self {
            Authenticator::None(_) => &[],
            Authenticator::Token(all) | Authenticator::Password(all) => all,
        }
    }

    /// The configured mode: `none`, `token` or `password`.
    pub fn mode(&self) -> &'static str {
        match self {
            Authenticator::None(_) => "none",
            Authenticator::Token(_) => "token",
            Authenticator::Password(_) => "password",
        }
    }

    /// The scheme for `WWW-Authenticate` (RFC 9110, section 11.6.1).
    pub fn scheme(&self) -> &'static str {
        match self {
            Authenticator::Password(_) => "Basic",
            Authenticator::None(_) | Authenticator::Token(_) => "Bearer",
        }
    }

    /// Who this is, or `None`: the wrong kind of proof, an unknown name, a wrong secret.
    ///
    /// Takes as long for a wrong name as for a wrong secret: every credential is compared, in constant
    /// time, whichever of them matches.
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
        let named = name.is_none_or(|name| credential.info.name.as_bytes() == name.as_bytes());
        let matches = credential.digest.matches(&digest) & Choice::from(u8::from(named));
        found.conditional_assign(&(index as u32), matches);
    }
    credentials.get(found as usize).map(|credential| credential.info.clone())
}

/// A new token: 32 bytes of the operating system's randomness in base64url, 43 characters, each of them
/// allowed in a header and in a subprotocol name.
///
/// # Errors
/// When the operating system has no randomness to give.
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
    fn a_token_finds_its_credential_and_no_other() {
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
    fn a_password_needs_its_own_name() {
        let auth = Authenticator::Password(vec![credential("alice", "operator", "a"), credential("bob", "node", "b")]);
        let try_as = |name, password| name_of(auth.authenticate(&Credentials::Password { name, password }));
        assert_eq!(try_as("alice", b"a".as_slice()).as_deref(), Some("alice"));
        assert_eq!(try_as("bob", b"b".as_slice()).as_deref(), Some("bob"));
        assert_eq!(try_as("alice", b"b".as_slice()), None);
        assert_eq!(try_as("carol", b"a".as_slice()), None);
        assert!(auth.authenticate(&Credentials::Token(b"a")).is_none());
    }

    #[test]
    fn the_presence_key_is_role_and_name() {
        assert_eq!(&*AuthInfo::new("kitchen-pi", Role::Node, []).presence_key, "node:kitchen-pi");
        assert_eq!(&*AuthInfo::anonymous().presence_key, "operator:anonymous");
        assert_eq!(Role::from("probe").as_str(), "probe");
    }

    #[test]
    fn a_digest_is_64_hexadecimal_digits_and_never_shown() {
        let digest = SecretDigest::of(b"abc");
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest.to_hex(), hex);
        assert_eq!(SecretDigest::from_hex(&hex.to_uppercase()), Some(digest));
        assert_eq!(SecretDigest::from_hex("ba78"), None);
        assert_eq!(format!("{digest:?}"), "SecretDigest(..)");
    }

    #[test]
    fn tokens_are_new_each_time_and_fit_a_subprotocol() {
        let (a, b) = (new_token().unwrap(), new_token().unwrap());
        assert_ne!(a, b);
        assert_eq!(a.len(), 43);
        assert!(a.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_'));
    }
}
