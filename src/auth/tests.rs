use super::*;
use std::time::Duration;

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
fn scope_is_granted_by_name_for_all_targets_or_for_a_pattern_of_targets() {
    let granted = ["events:read:site.*", "events:publish", "nodes:invoke:light.set", "events:readers:x"];
    let info = AuthInfo::new("a", Role::Operator, granted.map(Into::into));
    for (scope, target, expected) in [
        ("events:read", "site.a", true),
        ("events:read", "site.", true),
        ("events:read", "site", false),
        ("events:read", "x", false),
        ("events:publish", "x", true),
        ("nodes:invoke", "light.set", true),
        ("nodes:invoke", "light.settings", false),
        ("clients:read", "presence", false),
    ] {
        assert_eq!(info.has_scope_for(scope, target), expected, "{scope} {target}");
    }
    assert!(info.has_scope("events:read") && info.has_scope("events:publish") && info.has_scope("nodes:invoke"));
    assert!(!info.has_scope("clients:read") && AuthInfo::anonymous().has_scope_for("events:read", "x"));
    let topics = ["operator:a", "operator:a/x", "operator:ab", "operator:", "x"].map(|topic| info.owns_topic(topic));
    assert_eq!(topics, [true, true, false, false, false]);
}

#[test]
fn expired_credential_is_not_accepted() {
    let mut credential = credential("alice", "operator", "a");
    for (not_after, is_valid) in [(SystemTime::now() + Duration::from_secs(60), true), (SystemTime::now(), false)] {
        let info = AuthInfo::new("alice", Role::Operator, []).valid_until(Some(not_after));
        credential.info = Arc::new(info);
        let auth = Authenticator::Token(vec![credential.clone()]);
        assert_eq!(auth.authenticate(&Credentials::Token(b"a")).is_some(), is_valid);
    }
}

#[test]
fn identity_is_kept_with_new_scopes_only_if_mode_name_role_and_secret_are_the_same() {
    let old = Authenticator::Token(vec![credential("alice", "operator", "a"), credential("pi", "node", "b")]);
    let clients: Vec<_> = old.credentials().iter().map(|credential| credential.info.clone()).collect();
    let other_scopes = |name, role, secret: &str| {
        let info = Arc::new(AuthInfo::new(name, Role::from(role), ["write".into()]));
        Credential { info, digest: SecretDigest::of(secret.as_bytes()) }
    };
    let mut same = Authenticator::Token(vec![other_scopes("pi", "node", "b"), other_scopes("alice", "operator", "a")]);
    same.take_over(&old);
    for client in &clients {
        let kept = same.credentials().iter().find(|credential| credential.info.name == client.name).unwrap();
        assert!(Arc::ptr_eq(&kept.info, client) && !client.is_revoked());
        assert!(client.has_scope("write") && !client.has_scope("read") && client.grants_version() == 1);
    }
    let mut changed = Authenticator::Token(vec![credential("alice", "operator", "c"), credential("pi", "probe", "b")]);
    changed.take_over(&same);
    assert!(clients.iter().all(|client| client.is_revoked()));
    assert!(changed.credentials().iter().all(|credential| !credential.info.is_revoked()));

    let (mut none, anonymous) = (Authenticator::none(), Authenticator::none());
    none.take_over(&anonymous);
    let (Authenticator::None(new), Authenticator::None(old)) = (&none, &anonymous) else { unreachable!() };
    assert!(Arc::ptr_eq(new, old) && !old.is_revoked());
    Authenticator::Password(changed.credentials().to_vec()).take_over(&changed);
    assert!(changed.credentials().iter().all(|credential| credential.info.is_revoked()), "another mode");
    Authenticator::none().take_over(&changed);
    changed.take_over(&none);
    assert!(old.is_revoked());
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
