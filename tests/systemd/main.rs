//! The Debian package on a real systemd, which each test boots in namespaces of its own. `make test-systemd` builds the
//! packages and runs these tests.

#[path = "../common/mod.rs"]
#[allow(dead_code, reason = "the integration tests use all of it")]
mod common;

mod machine;
mod storm;

mod hardening;
mod package;
mod service;
mod watchdog;
