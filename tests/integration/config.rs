//! The exact error messages for a configuration file and for flags: line, setting, allowed values.

use crate::common::Gateway;
use crate::common::config_check::{self, EX_CONFIG, EX_USAGE, assert_output, assert_problems, run};
use crate::common::tools::{require, require_root};
use std::process::Command;

#[rustfmt::skip]
const VALID: &[&str] = &[
    "",
    "# nothing but a comment\n[handshake]\n[heartbeat]\n[limits]\n[auth]\n[shutdown]\n",
    "listen = \"127.0.0.1:0\"\nlog_level = \"off\"\n",
    "listen = [\"127.0.0.1:8080\", \"[::1]:8080\", \"unix:/run/gateway.sock\"]\n",
    "listen = \"0.0.0.0:80\"\nauth.allow_insecure = true\n",
    "listen = [\"127.0.0.1:80\", \"unix:/run/gateway.sock\"]\nlisten_reuse_port = true\n",
    "listen = \"127.9.9.9:80\"\n[auth]\nmode = \"none\"\n",
    "[handshake]\ntimeout = \"10ms\"\nidle_timeout = \"1h\"\nmax_header_bytes = 65536\nallowed_origins = []\n",
    "[handshake]\nallowed_origins = [\"file://\", \"null\", \"https://example.com:443\", \"https://*.example.com\", \"http://[::1]:8080\"]\n",
    "listen = [\"0.0.0.0:80\", \"[::]:80\"]\nauth.allow_insecure = true\n[ops]\nlisten = [\"127.0.0.1:81\", \"[::1]:81\"]\n",
    "[heartbeat]\ninterval = \"5s\"\ntimeout = \"5000ms\"\n",
    "[limits]\nmax_connections = 400\nmax_message_bytes = 125\noutbox_max_bytes = 1024\nmax_batch_requests = 1\n",
    "[limits]\nmax_message_bytes = 1_000_000\nmax_connections = 0x10\nwrite_timeout = \"1m\"\nclose_timeout = \"10ms\"\n",
    "[limits]\nmax_memory_for_clients = 1_048_576\n",
    "[limits]\nmax_memory_for_clients = \"100%\"\n",
    "[handshake]\nmax_in_progress = 1\nmax_per_second = 0\n",
    "[shutdown]\ndrain_timeout = \"1ms\"\n",
    "[proxy]\ntrusted = [\"10.0.0.0/8\", \"::1\", \"unix\"]\nprotocol = true\nheader = \"forwarded\"\n",
    "[per_address]\nmax_connections = 0\nmax_connects_per_second = 0\nexempt = [\"192.0.2.0/24\"]\n",
];

const LISTEN: &str = "allowed: an IP address with a port, such as \"127.0.0.1:8080\" or \"[::1]:8080\", or a Unix \
                      socket, such as \"unix:/run/aisopod-gateway/gateway.sock\"";
const LEVELS: &str = "allowed: \"off\", \"error\", \"warn\", \"info\", \"debug\", \"trace\"";
const TIME: &str = "allowed: \"10ms\" to \"1h\", a whole number with ms, s, m or h";
const ORIGIN: &str = "allowed: \"*\", \"null\", \"file://\", or scheme and host without a path, such as \
                      \"https://example.com\" or \"https://*.example.com\"";
const INSECURE: &str = "can be reached from other machines and needs credentials: set auth.mode = \"token\" and create them \
                        with: aisopod-gateway token --name NAME --role ROLE; allowed without credentials: \
                        127.0.0.1, [::1], unix: paths; or set auth.allow_insecure = true";
const MEMORY: &str = "allowed: 1048576 to 1099511627776 bytes, or \"1%\" to \"100%\"";
const PEER: &str =
    "allowed: an IP address, a network such as \"10.0.0.0/8\", or \"unix\" for the peers at Unix sockets";
const OTHER: &str = "allowed: another address or port";
const DESCRIPTORS: &str = "allowed: 1 to 400, the descriptor limit of 500 less 100 in reserve; LimitNOFILE= or ulimit \
                           -n raises it";

/// A file and its problems. The words in capitals are replaced by the texts above.
#[rustfmt::skip]
const INVALID: &[(&str, &[&str])] = &[
    // Memory: bytes, or a part.
    ("[limits]\nmax_memory_for_clients = 1048575", &["2: limits.max_memory_for_clients = 1048575; MEMORY"]),
    ("[limits]\nmax_memory_for_clients = \"0%\"", &["2: limits.max_memory_for_clients = \"0%\"; MEMORY"]),
    ("[limits]\nmax_memory_for_clients = \"1G\"", &["2: limits.max_memory_for_clients = \"1G\"; MEMORY"]),
    // Connections before their first request.
    ("[handshake]\nmax_in_progress = -1", &["2: handshake.max_in_progress = -1; allowed: 0 to 1000000000"]),
    ("[handshake]\nmax_per_second = 1000001", &["2: handshake.max_per_second = 1000001; allowed: 0 to 1000000"]),
    // Settings above the first section.
    ("listen = \"unix:gateway.sock\"",        &["1: listen = \"unix:gateway.sock\"; LISTEN"]),
    ("listen = []",                           &["1: listen = []; allowed: at least one address"]),
    ("listen = \"unix:/a\\u0000b\"",          &["1: listen = \"unix:/a\\u0000b\"; allowed: a path of at most 107 bytes, without control characters"]),
    ("listen = \"unix:/usr\"",                &["1: listen: \"unix:/usr\" exists and isn't a socket; allowed: another path"]),
    ("listen = [\n\"127.0.0.1:0\",\n80,\n\"x\"]", &["3: listen = 80; LISTEN", "4: listen = \"x\"; LISTEN"]),
    ("listen_reuse_port = 1",                 &["1: listen_reuse_port = 1; allowed: true, false"]),
    ("\nlog_level = \"loud\"",                &["2: log_level = \"loud\"; LEVELS"]),
    ("log_level = 3",                         &["1: log_level = 3; LEVELS"]),
    ("handshake = 5",                         &["1: handshake = 5; allowed: a table, [handshake]"]),
    ("[[limits]]\n",                          &["1: limits = [[limits]]; allowed: a table, [limits]"]),
    // Addresses that others can reach.
    ("listen = [\"[::1]:80\", \"[::]:81\"]",  &["1: listen \"[::]:81\" INSECURE"]),
    ("listen = \"192.0.2.1:80\"\n[auth]\nmode = \"none\"\nallow_insecure = false", &["1: listen \"192.0.2.1:80\" INSECURE"]),
    // Addresses that can't be used together.
    ("listen = [\"127.0.0.1:80\",\n\"[::1]:80\",\n\"[::ffff:127.0.0.1]:80\"]", &["3: listen: duplicate address \"127.0.0.1:80\""]),
    ("auth.allow_insecure = true\nlisten = [\"127.0.0.1:80\",\n\"0.0.0.0:80\"]", &["3: listen: \"0.0.0.0:80\" TAKEN \"127.0.0.1:80\"; OTHER"]),
    ("[ops]\nlisten = [\"unix:/usr/x\",\n\"unix:/usr/../usr/x\"]", &["3: ops.listen: \"unix:/usr/../usr/x\" TAKEN \"unix:/usr/x\"; OTHER"]),
    ("listen = \"unix:/usr/x\"\n[ops]\nlisten = \"unix:/usr/../usr/x\"", &["3: ops.listen \"unix:/usr/../usr/x\" TAKEN listen \"unix:/usr/x\"; OTHER"]),
    // [handshake]
    ("[handshake]\n\nallowed_origins = [\"https://example.com\", \"*\"]", &["3: handshake.allowed_origins = \"*\" needs credentials, since every web page could connect: set auth.mode = \"token\" or \"password\"; allowed without credentials: the origins of your pages"]),
    ("[handshake]\ntimeout = 5",              &["2: handshake.timeout = 5; TIME"]),
    ("[handshake]\ntimeout = \"9ms\"",        &["2: handshake.timeout = \"9ms\"; TIME"]),
    ("[handshake]\nidle_timeout = \"61m\"",   &["2: handshake.idle_timeout = \"61m\"; TIME"]),
    ("[handshake]\nmax_header_bytes = 8191",  &["2: handshake.max_header_bytes = 8191; allowed: 8192 to 65536"]),
    ("[handshake]\nmax_header_bytes = 65537", &["2: handshake.max_header_bytes = 65537; allowed: 8192 to 65536"]),
    ("[handshake]\nallowed_origins = \"*\"",  &["2: handshake.allowed_origins = \"*\"; allowed: a list of strings"]),
    ("[handshake]\nallowed_origins = [\n\"example.com\",\n\"https://example.com/\",\n1]", &[
        "3: handshake.allowed_origins = \"example.com\"; ORIGIN",
        "4: handshake.allowed_origins = \"https://example.com/\"; ORIGIN",
        "5: handshake.allowed_origins = 1; ORIGIN",
    ]),
    // [heartbeat]
    ("[heartbeat]\ninterval = \"soon\"",      &["2: heartbeat.interval = \"soon\"; TIME"]),
    ("[heartbeat]\nintervall = \"5s\"",       &["2: unknown key heartbeat.intervall (did you mean interval?); allowed here: interval, timeout"]),
    // [limits]
    ("[limits]\nmax_connections = 401",       &["2: limits.max_connections = 401; DESCRIPTORS"]),
    ("[limits]\nmax_connections = 0",         &["2: limits.max_connections = 0; DESCRIPTORS"]),
    ("[limits]\nmax_connections = -1",        &["2: limits.max_connections = -1; DESCRIPTORS"]),
    ("[limits]\nmax_connections = \"10\"",    &["2: limits.max_connections = \"10\"; DESCRIPTORS"]),
    ("[limits]\nmax_connections = 99999999999999999999", &["2: limits.max_connections = 99999999999999999999; DESCRIPTORS"]),
    ("[limits]\nmax_message_bytes = 124",     &["2: limits.max_message_bytes = 124; allowed: 125 to 67108864"]),
    ("[limits]\nmax_message_bytes = 1.5",     &["2: limits.max_message_bytes = 1.5; allowed: 125 to 67108864"]),
    ("[limits]\nmax_messages_per_second = 1000001", &["2: limits.max_messages_per_second = 1000001; allowed: 0 to 1000000"]),
    ("[limits]\nmax_batch_requests = 10001",  &["2: limits.max_batch_requests = 10001; allowed: 1 to 10000"]),
    ("[limits]\noutbox_max_bytes = 1023",     &["2: limits.outbox_max_bytes = 1023; allowed: 1024 to 1073741824"]),
    ("[limits]\nwrite_timeout = \"2h\"",      &["2: limits.write_timeout = \"2h\"; TIME"]),
    ("[limits]\nclose_timeout = true",        &["2: limits.close_timeout = true; TIME"]),
    ("[limits]\nmax_clients = 5",             &["2: unknown key limits.max_clients; allowed here: max_connections, max_message_bytes, max_batch_requests, max_subscriptions, closed_connections, outbox_max_bytes, max_memory_for_clients, max_messages_per_second, max_bytes_per_second, rate_burst, rate_timeout, write_timeout, max_lifetime, close_timeout"]),
    // [presence], [calls], [ops]
    ("[presence]\nnode = \"keep\"",          &["2: presence.node = \"keep\"; allowed: \"allow\", \"replace\", \"reject\""]),
    ("[presence]\noperator = true",          &["2: presence.operator = true; allowed: \"allow\", \"replace\", \"reject\""]),
    ("[presence]\n\"a b\" = \"allow\"",      &["2: presence.a b: a role is 1 to 64 letters, digits and . _ @ -"]),
    ("[calls]\ntimeout = 5",                 &["2: calls.timeout = 5; allowed: \"10ms\" to \"1h\", a whole number with ms, s, m or h"]),
    ("[calls]\nmax_per_node = 0",            &["2: calls.max_per_node = 0; allowed: 1 to 1000000"]),
    // Proxies and addresses.
    ("[per_address]\nmax_failures_per_minute = 0", &["2: per_address.max_failures_per_minute = 0; allowed: 1 to 1000000"]),
    ("[per_address]\nmax_connections = -1",    &["2: per_address.max_connections = -1; allowed: 0 to 1000000"]),
    ("[per_address]\nexempt = [\"x\"]",        &["2: per_address.exempt = \"x\"; PEER"]),
    ("[proxy]\ntrusted = [\"10.0.0.0/8\",\n\"10.0.0.0/33\"]", &["3: proxy.trusted = \"10.0.0.0/33\"; PEER"]),
    ("[proxy]\ntrusted = \"10.0.0.1\"",       &["2: proxy.trusted = \"10.0.0.1\"; allowed: a list of strings"]),
    ("[proxy]\nheader = \"via\"",              &["2: proxy.header = \"via\"; allowed: \"x-forwarded-for\", \"forwarded\""]),
    ("[proxy]\nprotocol = true",               &["2: proxy.protocol = true needs proxy.trusted, the addresses of your proxies"]),
    ("[ops]\nlisten = \"nowhere\"",          &["2: ops.listen = \"nowhere\"; allowed: an IP address with a port, such as \"127.0.0.1:8080\" or \"[::1]:8080\", or a Unix socket, such as \"unix:/run/aisopod-gateway/gateway.sock\""]),
    ("[ops]\nlisten = \"0.0.0.0:81\"",       &["2: ops.listen \"0.0.0.0:81\" INSECURE"]),
    ("listen = \"127.0.0.1:81\"\n[ops]\nlisten = \"127.0.0.1:81\"", &["3: ops.listen \"127.0.0.1:81\" TAKEN listen \"127.0.0.1:81\"; OTHER"]),
    // [shutdown]
    ("[shutdown]\ndrain_timeout = \"0s\"",    &["2: shutdown.drain_timeout = \"0s\"; allowed: \"1ms\" to \"1h\", a whole number with ms, s, m or h"]),
    ("[shutdown]\ntimeout = \"1s\"",          &["2: unknown key shutdown.timeout; allowed here: drain_timeout"]),
    // Not TOML.
    ("[limits]\nmax_connections = 5\nlisten =\n",  &["3: string values must be quoted, expected literal string"]),
    ("\n\nlisten = \"127.0.0.1:0\n",          &["3: invalid basic string, expected `\"`"]),
    ("log_level = \"info\"\nlog_level = \"info\"\n", &["2: duplicate key: log_level"]),
    // All problems are reported at once.
    ("log_level = \"loud\"\nfoo = 1\n[handshake]\ntimeout = 1\nbar = 2\n[limits]\nmax_batch_requests = 0\n[auth]\nmode = \"x\"\n", &[
        "1: log_level = \"loud\"; LEVELS",
        "2: unknown key foo; allowed here: listen, listen_reuse_port, log_level, handshake, proxy, per_address, heartbeat, limits, presence, calls, ops, shutdown, auth",
        "4: handshake.timeout = 1; TIME",
        "5: unknown key handshake.bar; allowed here: timeout, idle_timeout, max_in_progress, max_per_second, max_header_bytes, refuse_in_band, allowed_origins",
        "7: limits.max_batch_requests = 0; allowed: 1 to 10000",
        "9: auth.mode = \"x\"; allowed: \"none\", \"token\", \"password\"",
    ]),
];

fn expand(problem: &str) -> String {
    let texts = [
        ("LISTEN", LISTEN),
        ("LEVELS", LEVELS),
        ("TIME", TIME),
        ("ORIGIN", ORIGIN),
        ("OTHER", OTHER),
        ("MEMORY", MEMORY),
        ("PEER", PEER),
        ("DESCRIPTORS", DESCRIPTORS),
    ];
    config_check::expand(problem, &texts).replace("INSECURE", INSECURE).replace("TAKEN", "is taken by")
}

#[test]
fn valid_file_has_no_problems() {
    let dir = tempfile::tempdir().unwrap();
    for text in VALID {
        assert_problems(dir.path(), text, &[""; 0]);
    }
}

#[test]
fn each_problem_has_its_line_and_the_expected_values() {
    let dir = tempfile::tempdir().unwrap();
    for (text, problems) in INVALID {
        let problems: Vec<String> = problems.iter().map(|problem| expand(problem)).collect();
        assert_problems(dir.path(), text, &problems);
    }
}

#[test]
fn gateway_does_not_start_with_an_invalid_file() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("config.toml"), "\nfoo = 1").unwrap();
    assert_output(
        &run(dir.path(), &["--config", "config.toml"]),
        "a file to run with",
        &[
            "2: unknown key foo; allowed here: listen, listen_reuse_port, log_level, handshake, proxy, per_address, heartbeat, limits, presence, calls, ops, shutdown, auth",
        ],
    );
}

#[test]
fn unreadable_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("latin1.toml"), b"# caf\xe9\n").unwrap();
    for (file, message) in [
        ("missing.toml", "missing.toml: No such file or directory (os error 2)\n"),
        (".", ".: Is a directory (os error 21)\n"),
        ("latin1.toml", "latin1.toml: stream did not contain valid UTF-8\n"),
    ] {
        let output = run(dir.path(), &["--check", "--config", file]);
        assert_eq!(String::from_utf8_lossy(&output.stderr), message);
        assert_eq!(output.status.code(), Some(EX_CONFIG), "{file}");
    }
}

/// Commands that prepare an empty /etc, and what `--check` without `--config` prints as an unprivileged user.
#[rustfmt::skip]
const DEFAULT_FILES: &[(&str, &str)] = &[
    ("true",                                          "checked the defaults: no --config, and no DEFAULT\n"),
    ("mkdir DIR",                                     "checked the defaults: no --config, and no DEFAULT\n"),
    ("mkdir DIR; ln -s missing DEFAULT",              "DEFAULT: No such file or directory (os error 2)\n"),
    ("ln -s missing DIR",                             "DEFAULT: No such file or directory (os error 2)\n"),
    ("touch DIR",                                     "DEFAULT: Not a directory (os error 20)\n"),
    ("mkdir -p DEFAULT",                              "DEFAULT: Is a directory (os error 21)\n"),
    ("mkdir DIR; touch DEFAULT; chmod 700 DIR",       "DEFAULT: Permission denied (os error 13)\n"),
    ("mkdir DIR; touch DEFAULT; chmod 600 DEFAULT",   "DEFAULT: Permission denied (os error 13)\n"),
];

/// The defaults need no credentials, so they must not replace a file that exists.
#[test]
fn default_file_that_cannot_be_read_is_an_error() {
    let (Some(unshare), Some(_)) = (require("unshare"), require("setpriv")) else { return };
    let Some(()) = require_root("replacing /etc in a mount namespace") else { return };
    let expand = |text: &str| text.replace("DEFAULT", "DIR/config.toml").replace("DIR", "/etc/aisopod-gateway");
    for (commands, expected) in DEFAULT_FILES {
        // The program is copied to where an unprivileged user can run it.
        let script = format!(
            "umask 022 && mount -t tmpfs tmpfs /etc && cp \"$0\" /etc/gateway && {{ {commands}; }} && \
             exec setpriv --reuid=65534 --clear-groups /etc/gateway --check"
        );
        let mut command = Command::new(&unshare);
        let output = command.args(["-m", "sh", "-c", &expand(&script)]).arg(Gateway::binary()).output().unwrap();
        let (stderr, stdout) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
        let is_valid = expected.starts_with("checked");
        let (shown, code) = if is_valid { (stdout, 0) } else { (stderr, EX_CONFIG) };
        let rest = shown.strip_prefix(&expand(expected)).unwrap_or_else(|| panic!("{commands}: {shown}"));
        let hint = "this is the default configuration; --config names another file\n";
        assert_eq!(rest, if is_valid { "the configuration is valid\n" } else { hint }, "{commands}");
        assert_eq!(output.status.code(), Some(code), "{commands}");
    }
}

/// Arguments, and the expected exit code and standard error. Ahead of them is `--check --config config.toml`; in that
/// file, the second line sets an invalid log level.
#[rustfmt::skip]
const FLAGS: &[(&[&str], i32, &str)] = &[
    (&["--foo"],             EX_USAGE, "aisopod-gateway: invalid option '--foo'; see --help\n"),
    (&["-x"],                EX_USAGE, "aisopod-gateway: invalid option '-x'; see --help\n"),
    (&["serve"],             EX_USAGE, "aisopod-gateway: unexpected argument \"serve\"; see --help\n"),
    (&["--listen"],          EX_USAGE, "aisopod-gateway: missing argument for option '--listen'; see --help\n"),
    (&["--check=yes"],       EX_USAGE, "aisopod-gateway: unexpected argument for option '--check': \"yes\"; see --help\n"),
    (&["token"],             EX_USAGE, "aisopod-gateway: unexpected argument \"token\"; see --help\n"),
    (&["--listen", "here", "--listen=[::1]", "--log-level", "loud"], EX_CONFIG, "\
--listen: \"here\"; LISTEN
--listen: \"[::1]\"; LISTEN
config.toml:2: log_level = \"x\"; LEVELS
--log-level: \"loud\"; allowed: off, error, warn, info, debug, trace
"),
];

#[test]
fn invalid_flags_are_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("config.toml"), "\nlog_level = \"x\"\n").unwrap();
    for (args, code, stderr) in FLAGS {
        let output = run(dir.path(), &[&["--check", "--config", "config.toml"], *args].concat());
        let expected: String = stderr.lines().map(|line| expand(line) + "\n").collect();
        assert_eq!(String::from_utf8_lossy(&output.stderr), expected, "{args:?}");
        assert_eq!(output.status.code(), Some(*code), "{args:?}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn help_and_version_are_printed() {
    let dir = tempfile::tempdir().unwrap();
    let version = format!("aisopod-gateway {}\n", env!("CARGO_PKG_VERSION"));
    for (args, start) in [
        (&["--version"][..], version.as_str()),
        (&["--help"], "aisopod-gateway: a WebSocket gateway daemon\n\nusage: "),
        (&["--config", "missing.toml", "--help"], "aisopod-gateway: a WebSocket gateway daemon\n\nusage: "),
    ] {
        let output = run(dir.path(), args);
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(String::from_utf8_lossy(&output.stdout).starts_with(start), "{args:?}: {output:?}");
        assert!(output.stderr.is_empty(), "{args:?}: {output:?}");
    }
}

/// Addresses of flags replace those of the file and follow the same rules.
#[test]
fn insecure_address_of_a_flag_is_reported_for_the_flag() {
    let dir = tempfile::tempdir().unwrap();
    let expected = expand("--listen: listen \"0.0.0.0:80\" INSECURE\n");
    for (text, stderr) in
        [("auth.allow_insecure = true\n", ""), ("listen = \"127.0.0.1:0\"\n", &expected), ("# nothing\n", &expected)]
    {
        std::fs::write(dir.path().join("config.toml"), text).unwrap();
        let output = run(dir.path(), &["--check", "--config", "config.toml", "--listen", "0.0.0.0:80"]);
        assert_eq!(String::from_utf8_lossy(&output.stderr), stderr, "{text}");
    }
    std::fs::write(dir.path().join("config.toml"), "listen = \"0.0.0.0:80\"\n").unwrap();
    let output = run(dir.path(), &["--check", "--config", "config.toml", "--listen", "127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(0), "the file's own address isn't used: {output:?}");
}

#[test]
fn full_standard_output_is_an_error_and_not_a_panic() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = Command::new(Gateway::binary()).arg("--version").stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(74));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("standard output: "));
}

#[test]
fn warning_leaves_the_exit_code_at_0() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("config.toml"), "[presence]\noperatr = \"replace\"\n").unwrap();
    let output = run(dir.path(), &["--check", "--config", "config.toml"]);
    assert!(output.stdout.starts_with(b"warning: ") && output.status.success(), "{output:?}");
}
