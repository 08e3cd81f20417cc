//! Runs `aisopod-gateway --check` and compares the problems that it prints.

use super::Gateway;
use std::path::Path;
use std::process::{Command, Output};

/// Exit codes of sysexits(3).
pub const EX_USAGE: i32 = 64;
pub const EX_CONFIG: i32 = 78;

/// Runs the gateway's binary in a directory with at most 500 descriptors.
pub fn run(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 500 && exec \"$0\" \"$@\""]).arg(Gateway::binary()).args(args);
    command.current_dir(dir).env_remove("CREDENTIALS_DIRECTORY").output().expect("a shell")
}

/// Checks a configuration and expects exactly these problems, each as `line: message`; with none it must be valid.
pub fn assert_problems(dir: &Path, text: &str, problems: &[impl AsRef<str>]) {
    std::fs::write(dir.join("config.toml"), text).unwrap();
    assert_output(&run(dir, &["--check", "--config", "config.toml"]), text, problems);
}

/// The same for the output of a finished run.
pub fn assert_output(output: &Output, what: &str, problems: &[impl AsRef<str>]) {
    let stderr = String::from_utf8(output.stderr.clone()).expect("UTF-8");
    let expected: String = problems.iter().map(|problem| format!("config.toml:{}\n", problem.as_ref())).collect();
    assert_eq!(stderr, expected, "{what}");
    let (code, end) = if problems.is_empty() { (0, "the configuration is valid\n") } else { (EX_CONFIG, "") };
    assert_eq!(output.status.code(), Some(code), "{what}");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let is_warning = |line: &str| line.starts_with("warning: ");
    assert!(stdout.strip_suffix(end).is_some_and(|start| start.lines().all(is_warning)), "{what}: {stdout}");
}

/// Replaces a placeholder at the end of a problem, such as `; TIME`, with the text it stands for.
pub fn expand(problem: &str, texts: &[(&str, &str)]) -> String {
    let long = texts.iter().find_map(|(name, text)| {
        let start = problem.strip_suffix(name)?.strip_suffix("; ")?;
        Some(format!("{start}; {text}"))
    });
    long.unwrap_or_else(|| problem.to_owned())
}
