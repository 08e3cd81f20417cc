//! The main README: its links, and its first conversation, run as printed with websocat, curl and a shell.

use super::{OPERATION, PROTOCOL, README, Shell, blocks, code_spans, section};
use crate::common::Gateway;
use crate::common::process::Process;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

/// A heading's anchor, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    text.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn links_between_documents_lead_to_existing_files_and_headings() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (dir, document) in [("", README), ("src/rpc", PROTOCOL), ("systemd", OPERATION)] {
        let prose = document.split("```").step_by(2);
        let links = prose.flat_map(|text| text.split("](").skip(1)).filter_map(|text| text.split(')').next());
        for link in links {
            if link.starts_with("https:") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let text = match file {
                "" => document.to_owned(),
                _ => {
                    std::fs::read_to_string(root.join(dir).join(file)).unwrap_or_else(|error| panic!("{link}: {error}"))
                }
            };
            let anchors: BTreeSet<_> = text.lines().filter(|line| line.starts_with('#')).map(anchor).collect();
            assert!(heading.is_empty() || anchors.contains(heading), "{link}: no such heading");
        }
    }
}

#[test]
fn files_of_the_development_section_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let named = code_spans(section(README, "## Development"));
    let files = named.filter(|span| ["src/", "tests/", "systemd/"].iter().any(|folder| span.starts_with(folder)));
    let missing: Vec<_> = files.filter(|file| !file.contains("NAMESPACE") && !root.join(file).exists()).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// Replays a console block: runs the command after `$`, writes the lines after `>`, expects the lines after `<`.
fn replay(shell: &Shell, port: u16, block: &str, mut terminal: Option<Process>) -> Process {
    for line in block.lines() {
        let (mark, text) = line.split_at(2);
        match mark {
            "$ " => terminal = Some(Process::start(&mut shell.command(&format!("exec {text}"), port))),
            "> " => terminal.as_mut().expect("a terminal").write_line(text),
            "< " => {
                let expected: Value = serde_json::from_str(text).unwrap();
                assert_eq!(terminal.as_ref().expect("a terminal").read_json(), expected);
            }
            _ => panic!("neither typed nor shown: {line}"),
        }
    }
    terminal.expect("a terminal")
}

#[test]
fn first_conversation_runs_as_written() {
    let Some(shell) = Shell::new() else { return };
    let blocks = blocks(section(README, "## A first conversation"));
    let [start, alice, node, joined, call, answer, result] = blocks[..] else { panic!("other blocks: {blocks:#?}") };
    let (commands, serve) = start.1.trim_end().rsplit_once('\n').expect("several commands");
    let commands = format!("{commands}\nexec {serve}").replace("cd target/demo", ":");
    let commands = commands.replace("../release/aisopod-gateway", &Gateway::binary().display().to_string());
    // With port 0 it takes any free one.
    let gateway = Process::start(&mut shell.command(&commands, 0));
    let listening = gateway.wait_for_stderr("its address", |line| line.contains(" listening addr="));
    let port = listening.rsplit(':').next().unwrap().parse().unwrap();
    let replay = |block: &str, terminal| replay(&shell, port, block, terminal);

    let alice = replay(alice.1, None);
    let node = replay(node.1, None);
    let _alice = replay(joined.1, Some(alice));
    let call = replay(call.1, None);
    let _node = replay(answer.1, Some(node));
    assert_eq!(call.read_line(), result.1.trim());
}

#[test]
fn quick_start_answers_as_shown() {
    let Some(shell) = Shell::new() else { return };
    let gateway = Gateway::start("");
    let port = gateway.addr().port();
    let blocks = blocks(section(README, "## Quick start"));
    let [run, commands, shown] = blocks[..] else { panic!("other blocks: {blocks:#?}") };
    assert_eq!(run.1, "make run\n");
    let lines: Vec<_> = commands.1.lines().collect();
    let [status, install, websocat] = lines[..] else { panic!("other commands: {lines:#?}") };
    assert_eq!(install, "cargo install --locked websocat");
    let status = Process::start(&mut shell.command(status, port));
    assert_eq!(status.read_json()["status"], "ok");
    let mut websocat = Process::start(&mut shell.command(&format!("exec {websocat}"), port));
    let (request, answer) = shown.1.split_once('\n').expect("two lines");
    websocat.write_line(request.strip_prefix("> ").unwrap());
    let (actual, example) = (websocat.read_json(), serde_json::from_str::<Value>(&answer[2..]).unwrap());
    for member in ["role", "scopes", "presence_key"] {
        assert_eq!(actual["result"][member], example["result"][member]);
    }
    assert!(actual["result"].as_object().unwrap().keys().eq(example["result"].as_object().unwrap().keys()));
}
