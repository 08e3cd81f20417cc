//! The roles and presence keys of the configured credentials. A filter that names another role is refused with a
//! suggestion; otherwise it would match nothing.

use crate::auth::{AuthInfo, Authenticator, Role};
use crate::budget;
use crate::config::{did_you_mean, is_name};
use parking_lot::RwLock;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The most presence keys that a misspelt one is compared with, and the visits that one comparison costs.
const MAX_COMPARED: usize = 100;
const VISITS_PER_COMPARISON: usize = 40;

/// The configured roles and presence keys.
pub struct Identities(RwLock<Arc<Known>>);

struct Known {
    roles: BTreeSet<String>,
    presence_keys: BTreeSet<Arc<str>>,
}

impl Known {
    fn new(auth: &Authenticator) -> Self {
        let anonymous = match auth {
            Authenticator::None(info) => Some(info),
            _ => None,
        };
        let infos: Vec<&AuthInfo> =
            auth.credentials().iter().map(|credential| &credential.info).chain(anonymous).map(|info| &**info).collect();
        let roles = infos.iter().map(|info| &info.role).chain([&Role::Operator, &Role::Node]);
        Known {
            roles: roles.map(|role| role.as_str().to_owned()).collect(),
            presence_keys: infos.iter().map(|info| info.presence_key.clone()).collect(),
        }
    }
}

impl Identities {
    /// The identities of all credentials. The roles operator and node always count as configured.
    pub fn new(auth: &Authenticator) -> Self {
        Identities(RwLock::new(Arc::new(Known::new(auth))))
    }

    /// Replaces the identities by those of other credentials.
    pub fn replace(&self, auth: &Authenticator) {
        *self.0.write() = Arc::new(Known::new(auth));
    }

    fn known(&self) -> Arc<Known> {
        self.0.read().clone()
    }

    /// Checks that a client can have this role.
    ///
    /// # Errors
    /// The roles that clients can have.
    pub fn check_role(&self, role: &str) -> Result<(), String> {
        let known = self.known();
        if known.roles.contains(role) {
            return Ok(());
        }
        let suggestion = did_you_mean(role, known.roles.iter().map(String::as_str));
        let roles: Vec<&str> = known.roles.iter().map(String::as_str).collect();
        Err(format!("must be a role of a credential{suggestion}: {}", roles.join(", ")))
    }

    /// Checks that a text is a presence key of a role that clients can have. Any name is allowed, since a credential
    /// may be added by a reload.
    ///
    /// # Errors
    /// What a presence key is, with the one that was probably meant.
    pub fn check_presence_key(&self, key: &str) -> Result<(), String> {
        if key.split_once(':').is_some_and(|(role, name)| self.known().roles.contains(role) && is_name(name)) {
            return Ok(());
        }
        Err(format!("must be a presence key, role:name, such as node:kitchen-pi{}", self.suggest(key, "")))
    }

    /// ` (did you mean KEY?)` with the presence key of this name, or the closest one, among those that begin with
    /// `prefix`; otherwise empty. Charges the current task's budget.
    pub fn suggest(&self, key: &str, prefix: &str) -> String {
        let known = self.known();
        budget::charge(known.presence_keys.len() + MAX_COMPARED * VISITS_PER_COMPARISON);
        let keys = || known.presence_keys.iter().map(|known| &**known).filter(|known| known.starts_with(prefix));
        match keys().find(|known| known.split_once(':').is_some_and(|(_, name)| name == key)) {
            Some(known) => format!(" (did you mean {known}?)"),
            None => did_you_mean(key, keys().take(MAX_COMPARED)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Credential, SecretDigest};

    #[test]
    fn unknown_role_or_incomplete_key_is_refused_with_a_suggestion() {
        let credential = |name, role| {
            let info = Arc::new(AuthInfo::new(name, Role::from(role), []));
            Credential { info, digest: SecretDigest::of(b"secret") }
        };
        let credentials = vec![credential("kitchen-pi", "node"), credential("door", "probe")];
        let identities = Identities::new(&Authenticator::Token(credentials));
        for role in ["operator", "node", "probe"] {
            assert_eq!(identities.check_role(role), Ok(()));
        }
        let message = "must be a role of a credential (did you mean node?): node, operator, probe";
        assert_eq!(identities.check_role("nodes"), Err(message.to_owned()));
        for key in ["node:kitchen-pi", "node:any", "probe:door"] {
            assert_eq!(identities.check_presence_key(key), Ok(()));
        }
        for (key, suggestion) in [
            ("kitchen-pi", " (did you mean node:kitchen-pi?)"),
            ("nodes:kitchen-pi", " (did you mean node:kitchen-pi?)"),
            ("other", ""),
            ("node:", ""),
            ("node:a b", ""),
        ] {
            let message = format!("must be a presence key, role:name, such as node:kitchen-pi{suggestion}");
            assert_eq!(identities.check_presence_key(key), Err(message), "{key}");
        }
        assert_eq!(Identities::new(&Authenticator::none()).check_presence_key("operator:anonymous"), Ok(()));
    }
}
