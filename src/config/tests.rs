use super::load::read_text;
use super::*;
use std::path::Path;

/// Loads a configuration text with a limit of 500 descriptors.
fn read(text: &str) -> Result<Config, ConfigError> {
    read_text(text, "config.toml".to_owned(), Path::new(""), 500, Vec::new())
}

/// The problems of a configuration text, each as `line: message`.
fn problems(text: &str) -> Vec<String> {
    let error = read(text).expect_err(text);
    error.to_string().lines().map(|line| line.strip_prefix("config.toml:").unwrap_or(line).to_owned()).collect()
}

#[test]
fn exposed_listen_without_credentials_suggests_the_token_command() {
    let reason = "can be reached from other machines and needs credentials: set auth.mode = \"token\" and create them \
                  with: aisopod-gateway token --name NAME --role ROLE; allowed without credentials: 127.0.0.1, [::1], \
                  unix: paths; or set auth.allow_insecure = true";
    assert_eq!(problems("\nlisten = \"0.0.0.0:8080\""), [format!("2: listen \"0.0.0.0:8080\" {reason}")]);
    assert_eq!(problems("[ops]\nlisten = \"[::]:81\""), [format!("2: ops.listen \"[::]:81\" {reason}")]);
    assert!(read("listen = \"0.0.0.0:80\"\nauth.allow_insecure = true").is_ok());
}

#[test]
fn top_level_key_in_a_section_gets_the_advice_to_move_it() {
    for key in ["listen", "listen_reuse_port", "log_level"] {
        for section in ["limits", "auth", "presence"] {
            let expected = format!(
                "2: unknown key {section}.{key}; {key} is a top-level setting: move it above the first [section]"
            );
            assert_eq!(problems(&format!("[{section}]\n{key} = \"x\"")), [expected]);
        }
        assert!(!problems(&format!("{key} = 5"))[0].contains("unknown key"), "{key} is known at the top level");
    }
}

#[test]
fn unknown_key_near_a_known_one_gets_a_suggestion() {
    for (text, expected) in [
        ("[heartbeats]", "unknown key heartbeats (did you mean heartbeat?); allowed here: "),
        ("[handshake]\ntime_out = \"5s\"", "unknown key handshake.time_out (did you mean timeout?); allowed here: "),
        ("[calls]\nmax_per_nodes = 1", "unknown key calls.max_per_nodes (did you mean max_per_node?); allowed here: "),
        ("[calls]\nlimit = 1", "unknown key calls.limit; allowed here: timeout, max_per_caller, max_per_node"),
    ] {
        let problems = problems(text);
        assert!(problems[0].split_once(": ").is_some_and(|(_, message)| message.starts_with(expected)), "{problems:?}");
    }
}

#[test]
fn credentials_table_with_one_bracket_gets_the_advice_to_use_two() {
    let expected = "auth.credentials is a list of tables: write [[auth.credentials]], with two brackets, above each \
                    credential";
    let table = "[auth]\nmode = \"token\"\n[auth.credentials]\nname = \"alice\"\ntoken_sha256 = \"secret\"";
    assert_eq!(problems(table), [format!("3: {expected}")]);
    assert_eq!(problems("[auth]\nmode = \"token\"\ncredentials = [3]"), [format!("3: {expected}")]);
}

#[test]
fn token_mode_without_credentials_suggests_the_token_command() {
    let expected = "auth.mode needs at least one [[auth.credentials]]";
    let advice = "; create one with: aisopod-gateway token --name NAME --role ROLE";
    assert_eq!(problems("[auth]\nmode = \"token\""), [format!("2: {expected}{advice}")]);
    assert_eq!(problems("[auth]\nmode = \"password\""), [format!("2: {expected}")]);
}

#[test]
fn conflicting_default_is_marked_as_the_default() {
    for (text, expected) in [
        (
            "[heartbeat]\ninterval = \"5s\"",
            "2: heartbeat.timeout = \"10s\" (the default); allowed: at most heartbeat.interval, \"5s\"",
        ),
        (
            "[heartbeat]\ntimeout = \"31s\"",
            "2: heartbeat.timeout = \"31s\"; allowed: at most heartbeat.interval, \"30s\" (the default)",
        ),
        (
            "[heartbeat]\ninterval = \"5s\"\ntimeout = \"6s\"",
            "3: heartbeat.timeout = \"6s\"; allowed: at most heartbeat.interval, \"5s\"",
        ),
        (
            "[limits]\nmax_message_bytes = 2097153",
            "2: limits.outbox_max_bytes = 4194304 (the default); allowed: at least 4194306, twice \
             limits.max_message_bytes",
        ),
        (
            "[limits]\noutbox_max_bytes = 2097151",
            "2: limits.outbox_max_bytes = 2097151; allowed: at least 2097152, twice limits.max_message_bytes (the \
             default)",
        ),
        (
            "[ops]\nlisten = \"127.0.0.1:8080\"",
            "2: ops.listen \"127.0.0.1:8080\" is taken by listen \"127.0.0.1:8080\" (the default); allowed: another \
             address or port",
        ),
    ] {
        assert_eq!(problems(text), [expected]);
    }
}

#[test]
fn invalid_value_is_not_reported_again_as_a_conflict() {
    assert_eq!(problems("[heartbeat]\ninterval = \"5s\"\ntimeout = \"soon\"").len(), 1);
    assert_eq!(problems("[limits]\nmax_message_bytes = 4194304\noutbox_max_bytes = \"x\"").len(), 1);
    assert_eq!(problems("listen = \"nowhere\"\n[ops]\nlisten = \"127.0.0.1:8080\"").len(), 1);
}

#[test]
fn duplicates_are_reported() {
    let digest = "0".repeat(64);
    let credential = |name: &str, digest: &str| {
        format!("[[auth.credentials]]\nname = \"{name}\"\nrole = \"node\"\ntoken_sha256 = \"{digest}\"\n")
    };
    let listen = "listen = [\"127.0.0.1:80\", \"127.0.0.1:80\", \"127.0.0.1:0\", \"127.0.0.1:0\"]";
    assert_eq!(problems(listen), ["1: listen: duplicate address \"127.0.0.1:80\""]);
    let text = format!("auth.mode = \"token\"\n{}{}", credential("pi", &digest), credential("pi2", &digest));
    assert_eq!(problems(&text), ["6: auth.credentials.name = \"pi2\": duplicate token"]);
    let text = format!("auth.mode = \"token\"\n{}{}", credential("pi", &digest), credential("pi", &"1".repeat(64)));
    assert_eq!(problems(&text), ["6: auth.credentials.name = \"pi\": duplicate name"]);
}

#[test]
fn secret_file_open_to_others_suggests_the_chmod_command() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    std::fs::write(&path, "secret").unwrap();
    let text = format!(
        "auth.mode = \"token\"\n[[auth.credentials]]\nname = \"pi\"\nrole = \"node\"\ntoken_file = \"{}\"",
        path.display()
    );
    for (mode, access) in [(0o644, "read"), (0o602, "access")] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let path = path.display();
        let expected = format!(
            "5: auth.credentials.token_file = \"{path}\": others can {access} this file (mode {mode:03o}); run chmod o= \
             {path}"
        );
        assert_eq!(problems(&text), [expected]);
    }
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(read(&text).is_ok());
}

#[test]
fn max_connections_follows_the_descriptor_limit() {
    for (descriptors, expected) in [
        (0, 1),
        (1, 1),
        (4, 3),
        (80, 60),
        (399, 300),
        (400, 300),
        (500, 400),
        (20_000, 19_900),
        (10_000_000, 9_999_900),
    ] {
        assert_eq!(Config::max_connections_for(descriptors), expected);
    }
}
