//! `systemd/config.toml`, which explains all settings, and the README's table of those that are changed most often.

use aisopod_gateway::config::Config;
use aisopod_gateway::config::settings::{CREDENTIAL_KEYS, Kind, SECTIONS, Setting};

/// The most characters in a line.
const WIDTH: usize = 120;

/// The descriptor limit for which the defaults are shown.
const DESCRIPTORS: usize = 20_000;

pub const DURATIONS: &str = "A duration is a whole number with a unit, `ms`, `s`, `m` or `h`: `\"500ms\"`, `\"30s\"`.";

pub const CREDENTIAL_INTRODUCTION: &str = "Each block has:";

const HEADER: &str = "\
# aisopod-gateway: the reference of all settings. Each is shown with its default and commented out with \"#\": remove the
# \"#\" to change it. Lines that begin with \"# \" are comments. The manual page aisopod-gateway.toml(5) has the same text.
#
# Check a file before you use it; every mistake is reported with its line and the values that are allowed:
#     sudo aisopod-gateway --check --config /etc/aisopod-gateway/config.toml
# A reload applies a change while clients stay connected, unless the setting needs a restart:
#     sudo systemctl reload aisopod-gateway
#
# A duration is a whole number with a unit, ms, s, m or h: \"500ms\", \"30s\".
# The settings without a section must be above the first [section].
";

const CREDENTIAL: &str = "\
#[[auth.credentials]]
#name = \"alice\"
#role = \"operator\"
#scopes = [\"*\"]
#token_sha256 = \"the 64 digits that aisopod-gateway token prints\"
";

/// What a setting does, which values it allows, and whether it needs a restart.
pub fn described(setting: &Setting) -> String {
    let mut text = setting.about.to_owned();
    if let Some(allowed) = setting.kind.allowed() {
        text += &format!(" Allowed: {allowed}.");
    }
    if !setting.is_live {
        text += " A change needs a restart.";
    }
    text
}

/// The file.
pub fn example() -> String {
    let (mut file, mut defaults) = (HEADER.to_owned(), Config::new(DESCRIPTORS));
    for section in SECTIONS {
        file += "\n";
        if !section.name.is_empty() {
            file += &format!("{}[{}]\n", comment(section.about, ""), section.name);
        }
        for (index, setting) in section.settings.iter().enumerate() {
            if section.name.is_empty() && index > 0 {
                file += "\n";
            }
            match setting.kind {
                Kind::Credentials => {
                    file += &format!("\n{}#\n", comment(setting.about, ""));
                    for (key, about) in CREDENTIAL_KEYS {
                        file +=
                            &comment(&format!("{key:width$} {about}", width = KEY_WIDTH), &" ".repeat(KEY_WIDTH + 1));
                    }
                    file += CREDENTIAL;
                }
                // No role but these has a policy by default.
                Kind::OtherPolicies => {}
                _ => {
                    file += &comment(&described(setting), "");
                    file += &format!("#{} = {}\n", setting.key, setting.kind.value(&mut defaults));
                }
            }
        }
    }
    file
}

const KEY_WIDTH: usize = 9;

/// Wraps a text, of which each line is a paragraph, as a comment. All lines but the first are indented.
fn comment(text: &str, indent: &str) -> String {
    let mut output = String::new();
    for (index, paragraph) in text.lines().enumerate() {
        let mut line = if index == 0 { "# ".to_owned() } else { format!("# {indent}") };
        // Spaces within a label are kept.
        for word in paragraph.split_inclusive(' ') {
            if line.len() + word.trim_end().len() > WIDTH {
                output += &format!("{}\n", line.trim_end());
                line = format!("# {indent}");
            }
            line += word;
        }
        output += &format!("{}\n", line.trim_end());
    }
    output
}

/// The rows of the README's table.
pub fn summaries() -> Vec<[String; 3]> {
    let mut defaults = Config::new(DESCRIPTORS);
    let mut rows = Vec::new();
    for section in SECTIONS {
        for setting in section.settings {
            let Some(summary) = setting.summary else { continue };
            let default = match setting.kind.value(&mut defaults) {
                value if value.is_empty() => String::new(),
                value => format!("`{value}`"),
            };
            rows.push([format!("`{}`", section.path_of(setting)), default, summary.to_owned()]);
        }
    }
    rows
}
