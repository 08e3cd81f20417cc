//! The README's first conversation, as it stands there: websocat, curl and a shell.

use crate::common::process::Process;
use crate::common::{Gateway, tools};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

const README: &str = include_str!("../../README.md");

/// The code blocks of a section, in their order.
fn blocks(section: &str) -> Vec<&'static str> {
    let (_, text) = README.split_once(&format!("\n## {section}\n")).expect("the section");
    let text = text.split("\n## ").next().unwrap_or_default();
    let fenced = text.split("```").skip(1).step_by(2);
    fenced.map(|block| block.split_once('\n').expect("a language").1).collect()
}

/// A directory and a shell, where the commands find the gateway and websocat.
struct Stage {
    dir: tempfile::TempDir,
    path: String,
    /// Of the gateway, or 0 for any.
    port: u16,
}

impl Stage {
    fn command(&self, script: &str) -> Command {
        // The README's port may be somebody's here.
        let script = script.replace(":8080", &format!(":{}", self.port));
        let mut command = Command::new("bash");
        // What it starts last takes its place, and so its signals.
        command.args(["-e", "-c", &script]).current_dir(self.dir.path()).env("PATH", &self.path);
        command
    }
}

/// Does what a block shows: types what stands behind `>`, and compares what stands behind `<`. The connection is the block's
/// own, if it begins with a command.
fn act(block: &str, stage: &Stage, mut terminal: Option<Process>) -> Process {
    for line in block.lines() {
        let (mark, text) = line.split_at(2);
        match mark {
            "$ " => terminal = Some(Process::start(&mut stage.command(&format!("exec {text}")))),
            "> " => terminal.as_mut().expect("a terminal").say(text),
            "< " => {
                let expected: Value = serde_json::from_str(text).unwrap();
                assert_eq!(terminal.as_ref().expect("a terminal").hear_json(), expected);
            }
            _ => panic!("neither typed nor shown: {line}"),
        }
    }
    terminal.expect("a terminal")
}

#[test]
fn it_goes_as_the_readme_shows_it() {
    let (Some(websocat), Some(_)) = (tools::require("websocat"), tools::require("curl")) else { return };
    let blocks = blocks("A first conversation");
    let [start, alice, node, joined, call, answer, result] = blocks[..] else { panic!("other blocks: {blocks:#?}") };
    let dirs = [websocat.parent(), Gateway::binary().parent()].map(|dir| dir.unwrap().display().to_string());
    let path = format!("{}:{}", dirs.join(":"), std::env::var("PATH").unwrap());
    let mut stage = Stage { dir: tempfile::tempdir().unwrap(), path, port: 0 };

    let start = start.replace("\naisopod-gateway ", "\nexec aisopod-gateway ");
    let gateway = Process::start(&mut stage.command(&start));
    let listening = gateway.wait_for_complaint("its address", |line| line.contains(" listening addr="));
    stage.port = listening.rsplit(':').next().unwrap().parse().unwrap();
    assert!(Path::new(&stage.dir.path().join("alice.token")).exists());

    let alice = act(alice, &stage, None);
    let node = act(node, &stage, None);
    let _alice = act(joined, &stage, Some(alice));
    let call = act(call, &stage, None);
    let _node = act(answer, &stage, Some(node));
    assert_eq!(call.hear(), result.trim());
}
