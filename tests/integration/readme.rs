//! The README names everything that a user can meet.

use crate::common::Gateway;
use serde_json::Value;

const README: &str = include_str!("../../README.md");

fn assert_named(what: &str, name: &str) {
    assert!(README.contains(&format!("{name}`")), "README.md doesn't name the {what} {name}");
}

#[test]
fn every_setting_is_in_the_table() {
    let mut section = String::new();
    let mut settings = 0;
    for line in include_str!("../../systemd/config.toml").lines() {
        let line = line.strip_prefix('#').unwrap_or(line);
        if let Some(name) = line.strip_prefix('[') {
            section = format!("{}.", name.trim_matches(['[', ']']));
        } else if let Some((key, _)) = line.split_once(" = ").filter(|(key, _)| !key.contains(' ')) {
            assert!(README.contains(&format!("| `{section}{key}`")), "README.md has no row for {section}{key}");
            settings += 1;
        }
    }
    assert!(settings >= 22, "{settings}");
}

#[test]
fn every_key_of_status_is_explained() {
    let gateway = Gateway::start("");
    let status = gateway.status();
    for (key, value) in status.as_object().unwrap() {
        let labels = ["failed", "timed_out"];
        match value {
            Value::Object(fields) if key != "closed_total" => {
                for (field, value) in fields {
                    let short = field.strip_prefix("round_trip_p99").map_or(&**field, |_| "_p99_");
                    assert!(README.contains(short), "README.md doesn't explain {key}.{field}");
                    let inner = value.as_object().filter(|_| labels.contains(&&**field));
                    inner.into_iter().flatten().for_each(|(label, _)| assert_named("label", label));
                }
            }
            _ => assert_named("key", key),
        }
    }
}

#[test]
fn every_method_is_in_the_table() {
    let gateway = Gateway::start("");
    let methods = gateway.connect().call("gateway.methods");
    for method in methods["result"].as_array().unwrap() {
        let method = method.as_str().unwrap();
        assert!(README.contains(&format!("| `{method}` |")), "README.md has no row for {method}");
    }
}
