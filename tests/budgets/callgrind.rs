//! Instructions of the measured server in user space, counted by callgrind: nearly the same on every machine of one
//! architecture, however busy, and without hardware counters.

use crate::common::tools::require;
use crate::serve::{SNAPSHOT_FUNCTION, Snapshot};
use crate::server::Server;
use std::fs;
use std::process::Command;
use tempfile::TempDir;

pub struct CallgrindServer {
    pub server: Server,
    dir: TempDir,
    /// The instructions of one snapshot.
    snapshot_cost: f64,
}

impl CallgrindServer {
    /// Starts a server, if valgrind is installed.
    pub fn start() -> Option<CallgrindServer> {
        let valgrind = require("valgrind")?;
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut command = Command::new(valgrind);
        command.arg("--tool=callgrind").arg(format!("--callgrind-out-file={}", dir.path().join("out").display()));
        // At each snapshot, callgrind writes a file with the instructions since the previous one.
        command.arg(format!("--dump-before={SNAPSHOT_FUNCTION}"));
        let mut profiled = CallgrindServer { server: Server::start_under(command, None), dir, snapshot_cost: 0.0 };
        let server = &mut profiled.server;
        // The first snapshots cost more than later ones.
        let [_, _, from, to] = [server.snapshot(), server.snapshot(), server.snapshot(), server.snapshot()];
        profiled.snapshot_cost = profiled.between(&from, &to);
        Some(profiled)
    }

    /// The instructions between two snapshots, without the cost of the snapshots.
    pub fn between(&self, from: &Snapshot, to: &Snapshot) -> f64 {
        (from.number + 1..=to.number).map(|number| self.instructions_up_to(number) - self.snapshot_cost).sum()
    }

    /// The instructions from the previous snapshot to this one.
    fn instructions_up_to(&self, number: usize) -> f64 {
        // callgrind counts from 1.
        let path = self.dir.path().join(format!("out.{}", number + 1));
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
        total.and_then(|total| total.trim().parse().ok()).unwrap_or_else(|| panic!("no totals in {}", path.display()))
    }
}
