use super::*;
use crate::config::read_text;
use std::path::Path;

fn read(text: &str) -> Config {
    read_text(text, "config.toml".to_owned(), Path::new(""), 500, Vec::new()).unwrap()
}

fn changes(old: &str, new: &str) -> Changes {
    apply_live_changes(&read(old), &mut read(new))
}

#[test]
fn every_setting_that_differs_is_a_change() {
    let strings = |paths: &[&str]| paths.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(changes("", "log_level = \"info\"\n[limits]\nmax_connections = 400"), Changes::default());
    let live = "log_level = \"debug\"\n[proxy]\ntrusted = [\"10.0.0.1\"]\n[presence]\nnode = \"allow\"\nprobe = \"reject\"\n\
                [limits]\nmax_lifetime = \"1h\"\nmax_memory_for_clients = \"5%\"";
    let paths = ["log_level", "proxy.trusted", "limits.max_memory_for_clients", "limits.max_lifetime", "presence.node"];
    let paths = [strings(&paths), strings(&["presence.ROLE"])].concat();
    assert_eq!(changes("", live), Changes { live: paths.clone(), needs_restart: Vec::new() });
    assert_eq!(changes(live, ""), Changes { live: paths, needs_restart: Vec::new() });
    let mut new =
        read("listen = \"127.0.0.1:1\"\nlisten_reuse_port = true\n[heartbeat]\ninterval = \"20s\"\ntimeout = \"5s\"");
    let changes = apply_live_changes(&Config::new(500), &mut new);
    let paths = strings(&["listen", "listen_reuse_port", "heartbeat.interval", "heartbeat.timeout"]);
    assert_eq!(changes, Changes { live: Vec::new(), needs_restart: paths });
    assert_eq!(format!("{new:?}"), format!("{:?}", Config::new(500)), "the changes that need a restart are reset");
}

#[test]
fn changed_credential_is_a_change() {
    let digests = ["0", "1"].map(|digit| digit.repeat(64));
    let credential = |scope: &str, digest: &str| {
        format!(
            "auth.mode = \"token\"\n[[auth.credentials]]\nname = \"alice\"\nrole = \"operator\"\nscopes = [\"{scope}\"]\n\
             token_sha256 = \"{digest}\""
        )
    };
    let old = credential("clients:read", &digests[0]);
    assert_eq!(changes(&old, &old), Changes::default());
    for new in [credential("clients:read", &digests[1]), credential("clients:write", &digests[0])] {
        assert_eq!(changes(&old, &new).live, ["auth.credentials"]);
    }
    assert_eq!(changes(&old, "").live, ["auth.mode", "auth.credentials"]);
}

#[test]
fn value_of_every_setting_is_read_back() {
    let mut config = Config::new(500);
    let mut text = String::new();
    for section in SECTIONS {
        if !section.name.is_empty() {
            text += &format!("[{}]\n", section.name);
        }
        for setting in section.settings {
            match setting.kind.value(&mut config) {
                value if value.is_empty() => {}
                value => text += &format!("{} = {value}\n", setting.key),
            }
        }
    }
    assert_eq!(format!("{:?}", read(&text)), format!("{config:?}"));
}
