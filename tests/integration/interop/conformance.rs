//! The cases of the Autobahn test suite, which kosoku drives, against the echo handler. Compression (12 and 13) isn't
//! offered, so its cases aren't run.

use crate::common::echo_handler::Echo;
use crate::common::tools::{python_packages, require};
use aisopod_gateway::config::{Config, ListenAddr};
use aisopod_gateway::{Gateway, Listener, Shutdown};
use serde_json::Value;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Two frames that no single read has to fail early: the codec checks UTF-8 when a frame is complete.
const NON_STRICT: [&str; 2] = ["6.4.3", "6.4.4"];

/// The cases with messages larger than the default limit of 1 MiB.
const LARGE_MESSAGES: [&str; 8] = ["9.1.4", "9.1.5", "9.1.6", "9.2.4", "9.2.5", "9.2.6", "9.3.*", "9.4.*"];

/// Runs all cases but the `excluded` ones.
fn assert_conforms(change: impl FnOnce(&mut Config), excluded: &[&str]) {
    let (Some(python), Some(_)) = (require("python3"), require("kosoku")) else { return };
    let mut config = Config::new(1024);
    // Without pings during a case: the cases expect nothing but the answers to what they send.
    config.heartbeat.interval = Duration::from_secs(3600);
    change(&mut config);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let gateway = Gateway::with_handler(config, |registry| Arc::new(Echo { registry }));
    let guard = runtime.enter();
    let listener = Listener::bind(&ListenAddr::Tcp(([127, 0, 0, 1], 0).into()), false).unwrap();
    drop(guard);
    let address = format!("{}/ws", listener.addr());
    let (_stop, shutdown) = watch::channel(Shutdown::No);
    runtime.spawn(gateway.run(vec![listener], shutdown));
    let reports = tempfile::tempdir().unwrap();
    let mut command = Command::new(python);
    command.arg(python_packages().join("bin/kosoku")).env("PYTHONPATH", python_packages());
    command.args(["--parallelism", "4", "--outdir"]).arg(reports.path()).arg(address);
    for case in ["12.*", "13.*"].iter().chain(excluded) {
        command.args(["--exclude", case]);
    }
    let output = command.output().unwrap();
    let index = std::fs::read(reports.path().join("index.json")).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let index: Value = serde_json::from_slice(&index).unwrap();
    let cases = index.as_object().unwrap().values().next().unwrap().as_object().unwrap();
    assert!(cases.len() > 250, "{} cases", cases.len());
    for (case, result) in cases {
        let allowed: &[&str] = match NON_STRICT.contains(&case.as_str()) {
            true => &["OK", "NON-STRICT"],
            false => &["OK", "INFORMATIONAL"],
        };
        for key in ["behavior", "behaviorClose"] {
            assert!(allowed.contains(&result[key].as_str().unwrap()), "{case}: {result}");
        }
    }
}

#[test]
fn cases_of_rfc_6455_pass_with_default_limits() {
    assert_conforms(|_| {}, &LARGE_MESSAGES);
}

#[test]
fn cases_of_rfc_6455_pass_with_raised_limits() {
    assert_conforms(
        |config| {
            config.limits.max_message_bytes = 64 * 1024 * 1024;
            config.limits.outbox_max_bytes = 256 * 1024 * 1024;
        },
        &[],
    );
}
