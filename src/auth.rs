//! Authentication: checks credentials, and returns an identity with a role and scopes.
//!
//! Independent of HTTP, files and connections. Secrets are stored and compared only as SHA-256 digests.

use parking_lot::RwLock;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::SystemTime;
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
#[derive(Debug)]
pub struct AuthInfo {
    /// The credential's name, such as `alice` or `kitchen-pi`.
    pub name: Arc<str>,
    /// The credential's role.
    pub role: Role,
    /// `role:name`, the key by which presence and `node.invoke` find the connections.
    pub presence_key: Arc<str>,
    grants: RwLock<Grants>,
    /// How often the grants have been replaced.
    grants_version: AtomicU32,
    is_revoked: AtomicBool,
}

/// What a credential may do, and for how long. A reload may change it while clients are connected.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Grants {
    scopes: Arc<[Box<str>]>,
    not_after: Option<SystemTime>,
}

impl PartialEq for AuthInfo {
    fn eq(&self, other: &Self) -> bool {
        self.presence_key == other.presence_key && self.grants() == other.grants()
    }
}

impl Eq for AuthInfo {}

impl AuthInfo {
    /// Creates an identity; its presence key is derived from role and name.
    pub fn new(name: &str, role: Role, scopes: impl IntoIterator<Item = Box<str>>) -> Self {
        let presence_key = format!("{role}:{name}").into();
        let grants = RwLock::new(Grants { scopes: scopes.into_iter().collect(), not_after: None });
        let (grants_version, is_revoked) = (AtomicU32::default(), AtomicBool::default());
        AuthInfo { name: name.into(), role, presence_key, grants, grants_version, is_revoked }
    }

    /// The same identity, valid until this time.
    pub fn valid_until(self, not_after: Option<SystemTime>) -> Self {
        AuthInfo { grants: RwLock::new(Grants { not_after, ..self.grants() }), ..self }
    }

    fn grants(&self) -> Grants {
        self.grants.read().clone()
    }

    /// A number that changes whenever the scopes may have changed, and not before.
    pub fn grants_version(&self) -> u32 {
        self.grants_version.load(Ordering::SeqCst)
    }

    /// The scopes that are granted now; `*` includes all others.
    pub fn scopes(&self) -> Arc<[Box<str>]> {
        self.grants().scopes
    }

    /// From this time on the credential isn't valid.
    pub fn not_after(&self) -> Option<SystemTime> {
        self.grants.read().not_after
    }

    /// Whether `scope` was granted, by name or by `*`, or for some targets: `scope:PATTERN`.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.grants.read().scopes.iter().any(|granted| match pattern_of(granted, scope) {
            Some(_) => true,
            None => **granted == *scope || &**granted == "*",
        })
    }

    /// Whether `scope` was granted for this target: a topic or a method. In a pattern, `*` at the end stands for any text.
    pub fn has_scope_for(&self, scope: &str, target: &str) -> bool {
        self.grants.read().scopes.iter().any(|granted| match pattern_of(granted, scope) {
            Some(pattern) => match pattern.strip_suffix('*') {
                Some(prefix) => target.starts_with(prefix),
                None => pattern == target,
            },
            None => **granted == *scope || &**granted == "*",
        })
    }

    /// Whether a topic belongs to the clients of this presence key: it is the key, or begins with it and `/`.
    pub fn owns_topic(&self, topic: &str) -> bool {
        topic.strip_prefix(&*self.presence_key).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Whether the credential is past its `not_after`.
    pub fn is_expired(&self) -> bool {
        self.not_after().is_some_and(|not_after| not_after <= SystemTime::now())
    }

    /// Whether the credential has left the configuration.
    pub fn is_revoked(&self) -> bool {
        self.is_revoked.load(Ordering::SeqCst)
    }

    fn revoke(&self) {
        self.is_revoked.store(true, Ordering::SeqCst);
    }

    /// The identity of all clients if no authentication is configured: an operator with every scope.
    pub fn anonymous() -> Self {
        AuthInfo::new("anonymous", Role::Operator, ["*".into()])
    }
}

/// The pattern of a granted `scope:PATTERN`.
fn pattern_of<'a>(granted: &'a str, scope: &str) -> Option<&'a str> {
    granted.strip_prefix(scope)?.strip_prefix(':')
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// another mode or expired, the name is unknown, or the secret is wrong.
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

impl Authenticator {
    /// Takes over from `old`: an identity whose credential is still configured, with the same mode, name, role and secret,
    /// is kept, so that its clients get the new scopes. All others are revoked.
    pub fn take_over(&mut self, old: &Authenticator) {
        match (&mut *self, old) {
            (Authenticator::None(new), Authenticator::None(old)) => new.clone_from(old),
            (Authenticator::Token(new), Authenticator::Token(old))
            | (Authenticator::Password(new), Authenticator::Password(old)) => take_over_credentials(new, old),
            (_, Authenticator::None(anonymous)) => anonymous.revoke(),
            (_, old) => old.credentials().iter().for_each(|credential| credential.info.revoke()),
        }
    }
}

fn take_over_credentials(new: &mut [Credential], old: &[Credential]) {
    let mut by_key: HashMap<Arc<str>, &mut Credential> =
        new.iter_mut().map(|credential| (credential.info.presence_key.clone(), credential)).collect();
    for old in old {
        match by_key.get_mut(&old.info.presence_key).filter(|new| new.digest == old.digest) {
            Some(new) => {
                *old.info.grants.write() = new.info.grants();
                old.info.grants_version.fetch_add(1, Ordering::SeqCst);
                new.info.clone_from(&old.info);
            }
            None => old.info.revoke(),
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
    let found = credentials.get(found as usize).filter(|credential| !credential.info.is_expired());
    found.map(|credential| credential.info.clone())
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
mod tests;
