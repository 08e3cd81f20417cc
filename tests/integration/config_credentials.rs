//! Credentials in the configuration, secrets in files, and `aisopod-gateway token`.

use crate::common::Gateway;
use crate::common::config_check::{self, EX_CONFIG, assert_output, assert_problems, run};
use crate::common::test_gateway::digest;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use tungstenite::Error;

const NAME: &str = "allowed: 1 to 64 letters, digits and . _ @ -";
const ROLE: &str = "allowed: operator, node, or another word: 1 to 64 letters, digits and . _ @ -";
const SCOPE: &str = "allowed: 1 to 160 printable ASCII characters other than spaces, double quotes and backslashes";
const DIGEST: &str = "c7355b9788d3036817b4b9118e71116224521da29885b160eb8451377c47b377";

/// The content of `[auth]` and its problems. `NAME`, `ROLE`, `SCOPE` and `DIGEST` stand for the texts above,
/// `CREDENTIAL` for a valid credential of five lines.
#[rustfmt::skip]
const INVALID: &[(&str, &[&str])] = &[
    ("mode = \"tokens\"",                 &["2: auth.mode = \"tokens\"; allowed: \"none\", \"token\", \"password\""]),
    ("mode = 1\nCREDENTIAL",              &["2: auth.mode = 1; allowed: \"none\", \"token\", \"password\""]),
    ("allow_insecure = \"yes\"",          &["2: auth.allow_insecure = \"yes\"; allowed: true, false"]),
    ("\ntoken = \"hunter2\"",             &["3: unknown key auth.token; allowed here: allow_insecure, mode, credentials"]),
    ("mode = \"token\"\ncredentials = []", &["3: auth.mode needs at least one [[auth.credentials]]; create one with: aisopod-gateway token --name NAME --role ROLE"]),
    ("mode = \"token\"\ncredentials = 3", &["3: auth.credentials is a list of tables: write [[auth.credentials]], with two brackets, above each credential"]),
    ("CREDENTIAL",                        &["2: auth.credentials isn't used while auth.mode is \"none\"; set auth.mode = \"token\" or \"password\""]),
    ("mode = \"none\"\nCREDENTIAL",       &["3: auth.credentials isn't used while auth.mode is \"none\"; set auth.mode = \"token\" or \"password\""]),
    ("mode = \"token\"\n\n[[auth.credentials]]", &[
        "4: auth.credentials.name is missing; NAME",
        "4: auth.credentials.role is missing; ROLE",
        "4: auth.credentials: token_sha256 or token_file is missing",
    ]),
    ("mode = \"token\"\nCREDENTIAL[[auth.credentials]]\nrole = \"node\"\ntoken_sha256 = \"DIGEST\"", &["8: auth.credentials.name is missing; NAME"]),
    ("mode = \"token\"\nCREDENTIAL[[auth.credentials]]\nname = \"bob\"\ntoken_sha256 = \"DIGEST\"",  &["8: auth.credentials.role is missing; ROLE"]),
    ("mode = \"token\"\n[[auth.credentials]]\nname = \"a b\"\nrole = \"no de\"\nscopes = [\"ok\", \"not ok\", 5]\ntoken_sha256 = \"DIGEST\"", &[
        "4: auth.credentials.name = \"a b\"; NAME",
        "5: auth.credentials.role = \"no de\"; ROLE",
        "6: auth.credentials.scopes = \"not ok\"; SCOPE",
        "6: auth.credentials.scopes = 5; SCOPE",
    ]),
    ("mode = \"token\"\n[[auth.credentials]]\nname = \"a\"\nrole = \"b\"\nscopes = \"all\"\ntoken_sha256 = \"DIGEST\"", &["6: auth.credentials.scopes = \"all\"; allowed: a list of strings"]),
    ("mode = \"token\"\nCREDENTIALtoken_file = \"secret\"", &["3: auth.credentials: set token_sha256 or token_file, not both"]),
    ("mode = \"token\"\nCREDENTIALpassword_sha256 = \"DIGEST\"", &["8: unknown key auth.credentials.password_sha256; allowed here: name, role, scopes, not_after, token_sha256, token_file"]),
    ("mode = \"password\"\nCREDENTIAL", &[
        "3: auth.credentials: password_sha256 or password_file is missing",
        "7: unknown key auth.credentials.token_sha256; allowed here: name, role, scopes, not_after, password_sha256, password_file",
    ]),
];

fn expand(text: &str) -> String {
    let credential =
        "[[auth.credentials]]\nname = \"alice\"\nrole = \"operator\"\nscopes = [\"*\"]\ntoken_sha256 = \"DIGEST\"\n";
    let text = text.replace("CREDENTIAL", credential).replace("DIGEST", DIGEST);
    config_check::expand(&text, &[("NAME", NAME), ("ROLE", ROLE), ("SCOPE", SCOPE)])
}

#[test]
fn problems_of_credentials_have_their_line_and_the_expected_values() {
    let dir = tempfile::tempdir().unwrap();
    for (auth, problems) in INVALID {
        let problems: Vec<String> = problems.iter().map(|problem| expand(problem)).collect();
        assert_problems(dir.path(), &expand(&format!("[auth]\n{auth}")), &problems);
    }
}

/// The value may be the secret itself, written by mistake instead of its digest.
#[test]
fn invalid_digest_is_not_printed() {
    let dir = tempfile::tempdir().unwrap();
    for wrong in ["\"hunter2\"", "\"\"", "123456", &format!("\"{}\"", &DIGEST[1..]), &format!("\"x{}\"", &DIGEST[1..])]
    {
        for mode in ["token", "password"] {
            let advice = match mode {
                "token" => "for a new token, this prints them: aisopod-gateway token --name NAME --role ROLE",
                _ => "this prints them: printf %s \"$PASSWORD\" | sha256sum",
            };
            let syntax = "allowed: the 64 hexadecimal digits of a SHA-256";
            let problem = format!("6: auth.credentials.{mode}_sha256: {syntax}; {advice}");
            assert_problems(dir.path(), &with_secret(mode, &format!("{mode}_sha256 = {wrong}")), &[&problem]);
        }
    }
}

/// A configuration with one credential. The secret is in the sixth line.
fn with_secret(mode: &str, secret: &str) -> String {
    format!("[auth]\nmode = \"{mode}\"\n[[auth.credentials]]\nname = \"alice\"\nrole = \"node\"\n{secret}\n")
}

fn write(path: &Path, text: impl AsRef<[u8]>, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn secret_file_must_be_regular_and_small() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("directory")).unwrap();
    write(&at("empty"), "", 0o600);
    write(&at("newline"), "\r\n", 0o600);
    write(&at("large"), "x".repeat(4096) + "\r\nx", 0o600);
    assert!(Command::new("mkfifo").arg(at("fifo")).status().unwrap().success());
    write(&at("bom"), "\u{feff}secret\n", 0o600);
    write(&at("lines"), "secret\n\n", 0o600);
    write(&at("nul"), "secret\0", 0o600);
    write(&at("spaces"), "a secret", 0o600);
    write(&at("good"), "secret\n", 0o600);
    write(&at("group"), "secret", 0o640);
    write(&at("largest"), "x".repeat(4096) + "\n", 0o400);
    for (name, problem) in [
        ("missing", "No such file or directory (os error 2)"),
        ("directory", "not a regular file"),
        ("fifo", "not a regular file"),
        ("empty", "the file is empty"),
        ("newline", "the file is empty"),
        ("large", "larger than 4096 bytes"),
        ("bom", "begins with a byte order mark, which no client sends; save the file without it"),
        ("lines", "has several lines; allowed: the secret alone"),
        ("nul", "contains control characters, which no client can send"),
        ("spaces", "contains white space, which no client can send in a token"),
    ] {
        for mode in ["token", "password"].into_iter().filter(|mode| name != "spaces" || *mode == "token") {
            let problem = format!("6: auth.credentials.{mode}_file = \"{name}\": {problem}");
            assert_problems(dir.path(), &with_secret(mode, &format!("{mode}_file = \"{name}\"")), &[&problem]);
        }
    }
    assert_problems(dir.path(), &with_secret("password", "password_file = \"spaces\""), &[""; 0]);
    for name in ["good", "group", "largest", at("good").to_str().unwrap()] {
        assert_problems(dir.path(), &with_secret("token", &format!("token_file = \"{name}\"")), &[""; 0]);
    }
    let problem = "6: auth.credentials.token_file = 5; allowed: a path";
    assert_problems(dir.path(), &with_secret("token", "token_file = 5"), &[problem]);
}

/// The digest of an empty secret would let in a client that sends none, and everyone knows those of examples.
#[test]
fn digest_of_an_empty_or_published_secret_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("secret"), "abc\n", 0o600);
    let (empty, published) = ("an empty secret", "which everyone knows");
    let sample = "4193cf3fdd868d19c70d1073880361c847d2036d44814eb009f921e7001b8082".to_owned();
    for (digest, problem) in
        [(digest(""), empty), (digest("\n"), empty), (digest("abc").to_uppercase(), published), (sample, published)]
    {
        for mode in ["token", "password"] {
            let by_file = (problem == published).then(|| format!("{mode}_file = \"secret\""));
            for secret in [format!("{mode}_sha256 = \"{digest}\"")].into_iter().chain(by_file) {
                write(&dir.path().join("config.toml"), with_secret(mode, &secret), 0o600);
                let output = run(dir.path(), &["--check", "--config", "config.toml"]);
                let stderr = String::from_utf8(output.stderr).unwrap();
                assert!(stderr.starts_with(&format!("config.toml:6: auth.credentials.{mode}_")), "{secret}: {stderr}");
                assert!(stderr.contains(problem) && !stderr.contains("abc"), "{secret}: {stderr}");
                assert_eq!(output.status.code(), Some(EX_CONFIG), "{secret}");
            }
        }
    }
}

#[test]
fn short_token_in_a_file_gets_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    for (mode, length, warns) in [("token", 19, true), ("token", 20, false), ("password", 19, false)] {
        write(&dir.path().join("secret"), "x".repeat(length), 0o600);
        let text = with_secret(mode, &format!("{mode}_file = \"secret\""));
        write(&dir.path().join("config.toml"), text, 0o600);
        let output = run(dir.path(), &["--check", "--config", "config.toml"]);
        let stdout = String::from_utf8(output.stdout).unwrap();
        let start = "warning: config.toml:6: auth.credentials.token_file = \"secret\": the token has only 19 bytes; ";
        assert_eq!(stdout.starts_with(start), warns, "{stdout}");
        assert!(output.status.success() && !stdout.contains("xxx"), "{stdout}");
    }
}

#[test]
fn configuration_that_others_can_write_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (mode, refused) in [(0o666, true), (0o602, true), (0o664, false), (0o640, false)] {
        write(&dir.path().join("config.toml"), "", mode);
        let problem = format!("config.toml: others can write this file (mode {mode:03o}); run chmod o-w config.toml\n");
        for args in [&["--check", "--config", "config.toml"][..], &["--config", "config.toml", "--log-level", "loud"]] {
            let stderr = String::from_utf8(run(dir.path(), args).stderr).unwrap();
            assert_eq!(stderr.starts_with(&problem), refused, "{args:?}: {stderr}");
        }
    }
    assert!(run(dir.path(), &["--check", "--config", "/dev/null"]).status.success(), "a device isn't a file");
}

/// What `gateway.whoami` returns to a client with this token.
fn whoami(gateway: &Gateway, token: &str) -> Value {
    gateway.connect_as(token).expect("a valid token").0.call("gateway.whoami")["result"].take()
}

/// A relative path is searched in systemd's credentials first, then in the directory of the configuration.
#[test]
fn relative_secret_file_is_found_in_credentials_or_next_to_the_configuration() {
    let files = tempfile::tempdir().unwrap();
    let (beside, credentials) = (files.path().join("etc"), files.path().join("credentials"));
    for dir in [&beside, &credentials] {
        fs::create_dir(dir).unwrap();
    }
    write(&beside.join("token"), "from-beside\n", 0o600);
    write(&credentials.join("token"), "from-credentials\r\n", 0o400);
    write(&beside.join("config.toml"), with_secret("token", "token_file = \"token\""), 0o644);
    let absolute = with_secret("token", &format!("token_file = \"{}\"", beside.join("token").display()));
    let start = |config: &str, credentials: Option<&Path>| {
        let mut command = Command::new(Gateway::binary());
        command.env_remove("CREDENTIALS_DIRECTORY").envs(credentials.map(|dir| ("CREDENTIALS_DIRECTORY", dir)));
        Gateway::start_with(command, config)
    };
    for directory in [None, Some(&*credentials)] {
        let me = whoami(&start(&absolute, directory), "from-beside");
        assert_eq!(me["presence_key"], "node:alice", "an absolute path");
    }
    let relative = with_secret("token", "token_file = \"token\"");
    let gateway = start(&relative, Some(&credentials));
    assert_eq!(whoami(&gateway, "from-credentials")["presence_key"], "node:alice");
    assert!(matches!(gateway.connect_as("from-beside"), Err(Error::Http(answer)) if answer.status() == 401));
    let output = run(files.path(), &["--check", "--config", "etc/config.toml"]);
    assert_output(&output, "a file next to the configuration", &[""; 0]);
    let check = |credentials: &Path| {
        let mut command = Command::new(Gateway::binary());
        command.args(["--check", "--config", "../etc/config.toml"]).current_dir(files.path().join("credentials"));
        command.env("CREDENTIALS_DIRECTORY", credentials).output().unwrap().status.code()
    };
    write(&credentials.join("token"), "", 0o400);
    assert_eq!(check(Path::new("")), Some(0), "an empty variable is unset and doesn't name the current directory");
    fs::remove_file(credentials.join("token")).unwrap();
    assert_eq!(check(&credentials), Some(0), "no such credential");
    symlink("missing", credentials.join("token")).unwrap();
    assert_eq!(check(&credentials), Some(EX_CONFIG), "a credential that can't be read isn't replaced by another file");
}

/// The output of `token`: the token and its entry for the configuration.
fn new_token(args: &[&str]) -> (String, String) {
    let output = run(Path::new("."), args);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {output:?}");
    assert!(output.stderr.is_empty(), "{args:?}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let (token, entry) = text.split_once("\n\n").unwrap_or_else(|| panic!("no token and entry: {text}"));
    (token.lines().last().unwrap().to_owned(), entry.to_owned())
}

#[test]
fn new_token_is_unique_and_accepted() {
    let (first, alice) = new_token(&["token", "--name", "alice", "--role", "operator"]);
    let (second, pi) =
        new_token(&["token", "--role", "node", "--scope", "read", "--name", "kitchen-pi", "--scope", "write:all"]);
    assert_ne!(first, second);
    assert_eq!(first.len(), 43, "{first}");
    assert!(first.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{first}");
    assert!(!alice.contains(&first) && !pi.contains(&second), "the entry contains the token");
    let gateway = Gateway::start(&format!("[auth]\nmode = \"token\"\n{alice}\n{pi}"));
    for (token, presence_key, role, scopes) in [
        (&first, "operator:alice", "operator", json!([])),
        (&second, "node:kitchen-pi", "node", json!(["read", "write:all"])),
    ] {
        let me = whoami(&gateway, token);
        assert_eq!(me["presence_key"], presence_key);
        assert_eq!((&me["role"], &me["scopes"]), (&role.into(), &scopes));
    }
}

/// The token is printed only once and not stored.
#[test]
fn token_for_a_closed_standard_output_is_an_error() {
    for (redirection, code) in [(">&-", 74), ("<&- >&-", 74), ("> /dev/full", 74), ("> /dev/null", 0), ("2>&-", 0)] {
        let script = format!("exec \"$0\" token --name alice --role node {redirection}");
        let output = Command::new("sh").args(["-c", &script]).arg(Gateway::binary()).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{redirection}: {output:?}");
        assert_eq!(output.stderr.starts_with(b"standard output"), code == 74, "{redirection}: {output:?}");
    }
}

#[test]
fn invalid_flags_of_token_are_named() {
    let long = "x".repeat(65);
    let words = "1 to 64 letters, digits and . _ @ -";
    for (args, message) in [
        (&[][..], "token needs --name"),
        (&["--name", "alice"], "token needs --role"),
        (&["--role", "operator"], "token needs --name"),
        (&["--name", "", "--role", "node"], &format!("--name takes {words}")),
        (&["--name", "a b", "--role", "node"], &format!("--name takes {words}")),
        (&["--name", "a\"", "--role", "node"], &format!("--name takes {words}")),
        (&["--name", "a\nb", "--role", "node"], &format!("--name takes {words}")),
        (&["--name", &long, "--role", "node"], &format!("--name takes {words}")),
        (&["--name", "alice", "--role", "a:b"], &format!("--role takes {words}")),
        (&["--name", "alice", "--role", "node", "--scope", "a b"], &format!("--scope takes {}", &SCOPE[9..])),
        (&["--name", "alice", "--role", "node", "more"], "unexpected argument \"more\""),
        (&["--config", "config.toml"], "invalid option '--config'"),
    ] {
        let output = run(Path::new("."), &[&["token"], args].concat());
        let expected = format!("aisopod-gateway: {message}; see --help\n");
        assert_eq!(String::from_utf8_lossy(&output.stderr), expected, "{args:?}");
        assert_eq!(output.status.code(), Some(64), "{args:?}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}
