//! Instructions of the counted process in user space, as callgrind sees them: the same on every machine of a kind, however
//! busy, and without hardware that counts.

use crate::common::tools::require;
use crate::serve::{Stock, TAKES_STOCK};
use crate::server::Server;
use std::fs;
use std::process::Command;
use tempfile::TempDir;

/// A counted process under callgrind.
pub struct Simulated {
    pub server: Server,
    dir: TempDir,
    /// For one stock.
    counting: f64,
}

impl Simulated {
    /// Starts one, if there is valgrind.
    pub fn start() -> Option<Simulated> {
        let valgrind = require("valgrind")?;
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut command = Command::new(valgrind);
        command.arg("--tool=callgrind").arg(format!("--callgrind-out-file={}", dir.path().join("out").display()));
        // A file for each stock, with what was done since the one before.
        command.arg(format!("--dump-before={TAKES_STOCK}"));
        let mut simulated = Simulated { server: Server::start_under(Some(command), None), dir, counting: 0.0 };
        let server = &mut simulated.server;
        // The first do more than those that follow.
        let [_, _, from, to] = [server.stock(), server.stock(), server.stock(), server.stock()];
        simulated.counting = simulated.between(&from, &to);
        Some(simulated)
    }

    /// From one stock to another, without what taking stock costs.
    pub fn between(&self, from: &Stock, to: &Stock) -> f64 {
        (from.number + 1..=to.number).map(|number| self.before(number) - self.counting).sum()
    }

    /// From the stock before this one to this.
    fn before(&self, number: usize) -> f64 {
        // callgrind's first is 1.
        let path = self.dir.path().join(format!("out.{}", number + 1));
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
        total.and_then(|total| total.trim().parse().ok()).unwrap_or_else(|| panic!("no totals in {}", path.display()))
    }
}
