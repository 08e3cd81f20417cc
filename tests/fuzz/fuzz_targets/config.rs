//! Any text is a configuration or has problems, each with a line of the text; none causes a panic.

#![no_main]

use aisopod_gateway::internals::read_text;
use libfuzzer_sys::fuzz_target;
use std::path::Path;

fuzz_target!(|text: &str| {
    // Secrets are looked up in a directory that doesn't exist.
    let result = read_text(text, "config".to_owned(), Path::new("/nonexistent"), 1024, Vec::new());
    let Err(error) = result else { return };
    assert!(!error.0.is_empty());
    for problem in &error.0 {
        let line = problem.location.strip_prefix("config:").and_then(|line| line.parse::<usize>().ok());
        let line = line.unwrap_or_else(|| panic!("{problem:?} has no line"));
        assert!((1..=text.matches('\n').count() + 1).contains(&line), "{problem:?}");
    }
});
