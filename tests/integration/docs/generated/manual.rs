//! The manual pages.

use super::super::{OPERATION, PROTOCOL};
use super::roff::{entry, from_markdown, inline, paragraphs, text, title};
use super::settings::{CREDENTIAL_INTRODUCTION, DURATIONS, described};
use aisopod_gateway::config::Config;
use aisopod_gateway::config::settings::{CREDENTIAL_KEYS, Kind, SECTIONS};
use aisopod_gateway::internals::COMMANDS;

const SEE_ALSO: [(&str, u8); 3] =
    [("aisopod-gateway", 8), ("aisopod-gateway.toml", 5), ("aisopod-gateway-protocol", 7)];

/// aisopod-gateway(8)
pub fn program() -> String {
    let mut page = title("aisopod-gateway", 8, "WebSocket gateway daemon for operators and nodes");
    page += ".SH SYNOPSIS\n";
    for (index, command) in COMMANDS.iter().enumerate() {
        let name = if command.name.is_empty() { String::new() } else { format!(" {}", command.name) };
        page += if index == 0 { "" } else { ".br\n" };
        page += &format!(".B aisopod\\-gateway{}\n.RI [ options ]\n", text(&name));
    }
    page += ".SH DESCRIPTION\n";
    page += &paragraphs(
        "Operators (people, scripts, web pages) and nodes (devices, agents, servers) connect to it over WebSocket. It \
         authenticates them, tracks which are connected, keeps the connections alive, and routes events and calls between \
         them as JSON-RPC 2.0.",
        ".PP\n",
    );
    for command in COMMANDS {
        let heading = if command.name.is_empty() { "OPTIONS".to_owned() } else { command.name.to_uppercase() };
        page += &format!(".SH {heading}\n{}", paragraphs(command.about, ".PP\n"));
        for flag in command.flags {
            page += &entry(&flag.usage(), flag.about);
        }
    }
    page += &from_markdown(OPERATION, 2);
    page + &see_also(8)
}

/// aisopod-gateway.toml(5)
pub fn settings() -> String {
    let mut page = title("aisopod-gateway.toml", 5, "configuration of aisopod-gateway");
    page += ".SH DESCRIPTION\n";
    page += &paragraphs(
        "The program reads `--config FILE`, or else `/etc/aisopod-gateway/config.toml` if it exists. The file is TOML. \
         `aisopod-gateway --check` reports every mistake in it, with its line. A reload (SIGHUP, `systemctl reload \
         aisopod-gateway`) applies all changes but those of settings that need a restart, which it names in the log. A \
         file with a mistake changes nothing.",
        ".PP\n",
    );
    page += &format!(".PP\n{}\n", inline(DURATIONS));
    let mut defaults = Config::new(20_000);
    for section in SECTIONS {
        let heading = if section.name.is_empty() { "TOP LEVEL".to_owned() } else { format!("[{}]", section.name) };
        page += &format!(".SH \"{heading}\"\n");
        page += match section.name {
            "" => "Settings that must be above the first section.\n".to_owned(),
            _ => paragraphs(section.about, ".PP\n"),
        }
        .as_str();
        for setting in section.settings {
            let default = match setting.kind.value(&mut defaults) {
                value if value.is_empty() => String::new(),
                value => format!(" = {value}"),
            };
            page += &entry(&format!("{}{default}", setting.key), &described(setting));
            if matches!(setting.kind, Kind::Credentials) {
                page += &format!(".RS\n.PP\n{}", paragraphs(CREDENTIAL_INTRODUCTION, ".PP\n"));
                page += &CREDENTIAL_KEYS.iter().map(|(key, about)| entry(key, about)).collect::<String>();
                page += ".RE\n";
            }
        }
    }
    page + &see_also(5)
}

/// aisopod-gateway-protocol(7)
pub fn protocol() -> String {
    let mut page = title("aisopod-gateway-protocol", 7, "what clients of aisopod-gateway send and receive");
    page += ".SH DESCRIPTION\n";
    page += &from_markdown(PROTOCOL, 2);
    page + &see_also(7)
}

fn see_also(section: u8) -> String {
    let others = SEE_ALSO.into_iter().filter(|(_, other)| *other != section);
    let others: Vec<String> = others.map(|(name, section)| format!("\\fB{}\\fR({section})", text(name))).collect();
    format!(".SH \"SEE ALSO\"\n{}\n", others.join(", "))
}
