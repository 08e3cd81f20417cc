//! Right lines and wrong ones.

use super::*;

fn options(line: &str) -> Result<Option<Options>, String> {
    parse(Parser::from_args(line.split_ascii_whitespace())).map_err(|failure| failure.to_string())
}

#[test]
fn options_and_their_defaults() {
    let echo = options("echo --addr 127.0.0.1:80 --seconds 0.5 --pid 1 --pid 2").unwrap().unwrap();
    assert_eq!((echo.mode, echo.connections, echo.depth, echo.size), (Mode::Echo, 64, 1, 64));
    assert_eq!((echo.seconds, echo.pids), (Duration::from_millis(500), vec![1, 2]));
    assert!(options("echo --help").unwrap().is_none());
}

#[test]
fn what_is_wrong_is_named() {
    for (line, named) in [
        ("", "a mode is missing"),
        ("shout --addr 127.0.0.1:80", "no mode 'shout'"),
        ("echo", "--addr is missing"),
        ("echo --addr 10.0.0.1:80", "--addr '10.0.0.1:80'"),
        ("echo --addr 127.0.0.1:80 --rounds 3", "--rounds has no meaning for echo"),
        ("echo --addr 127.0.0.1:80 --connections 0", "--connections '0' is not a number from 1"),
        ("echo --addr 127.0.0.1:80 --seconds -1", "--seconds"),
        ("echo --addr 127.0.0.1:80 --sources 254", "from 1 to 253"),
        ("echo --addr 127.0.0.1:80 --syscalls", "--syscalls needs a --pid"),
        ("echo --addr 127.0.0.1:80 --loud", "--loud"),
        ("idle --addr 127.0.0.1:80 --rpc", "--rpc needs a --message"),
        ("echo --addr 127.0.0.1:80 --token a\u{7f}b", "--token"),
    ] {
        let message = options(line).unwrap_err();
        assert!(message.contains(named), "{line}: {message}");
    }
}

#[test]
fn every_option_and_mode_is_in_the_help() {
    for (_, mode) in Mode::ALL {
        assert!(HELP.contains(&format!("\n  {mode} ")), "{mode}");
    }
    for option in ["warmup", "size", "depth", "rounds", "rpc", "message", "again", "fanout", "patience"] {
        assert!(HELP.contains(&format!("\n  --{option} ")), "{option}");
    }
}
