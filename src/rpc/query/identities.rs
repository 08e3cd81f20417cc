//! The identities that clients can have, as the configured credentials give them: so that a request for any other is
//! refused with a hint, rather than answered with an empty list.

use crate::auth::{AuthInfo, Authenticator, Role};
use crate::config::{did_you_mean, is_name};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The configured roles and presence keys.
pub struct Identities {
    roles: BTreeSet<String>,
    presence_keys: BTreeSet<Arc<str>>,
}

impl Identities {
    /// The identities of all credentials. The roles operator and node always count as configured.
    pub fn new(auth: &Authenticator) -> Self {
        let anonymous = match auth {
            Authenticator::None(info) => Some(info),
            _ => None,
        };
        let infos: Vec<&AuthInfo> =
            auth.credentials().iter().map(|credential| &credential.info).chain(anonymous).map(|info| &**info).collect();
        let roles = infos.iter().map(|info| &info.role).chain([&Role::Operator, &Role::Node]);
        Identities {
            roles: roles.map(|role| role.as_str().to_owned()).collect(),
            presence_keys: infos.iter().map(|info| info.presence_key.clone()).collect(),
        }
    }

    /// Checks that a client can have this role.
    ///
    /// # Errors
    /// The roles that clients can have.
    pub fn check_role(&self, role: &str) -> Result<(), String> {
        if self.roles.contains(role) {
            return Ok(());
        }
        let suggestion = did_you_mean(role, self.roles.iter().map(String::as_str));
        let roles: Vec<&str> = self.roles.iter().map(String::as_str).collect();
        Err(format!("must be a role of a credential: {}{suggestion}", roles.join(", ")))
    }

    /// Checks that a text is a presence key of a role that clients can have. Any name is allowed: a credential may be
    /// added later.
    ///
    /// # Errors
    /// What a presence key is, with the one that was probably meant.
    pub fn check_presence_key(&self, key: &str) -> Result<(), String> {
        match key.split_once(':') {
            Some((role, name)) if is_name(name) => self.check_role(role).map_err(|_| ()),
            _ => Err(()),
        }
        .map_err(|()| format!("must be a presence key, role:name, such as node:kitchen-pi{}", self.suggest(key)))
    }

    /// ` (did you mean KEY?)` with the presence key of this name, or the closest one; otherwise empty.
    pub fn suggest(&self, key: &str) -> String {
        let has_name = |known: &&Arc<str>| known.split_once(':').is_some_and(|(_, name)| name == key);
        match self.presence_keys.iter().find(has_name) {
            Some(known) => format!(" (did you mean {known}?)"),
            None => did_you_mean(key, self.presence_keys.iter().map(|known| &**known)),
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
        let message = "must be a role of a credential: node, operator, probe (did you mean node?)";
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
