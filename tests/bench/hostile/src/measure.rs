//! One attack on a gateway of its own: healthy clients before it, and during it.

use crate::attackers::{self, Outcome};
use crate::attacks::{Attack, Opening};
use crate::gateway::Gateway;
use crate::healthy::{Damage, Healthy};
use crate::newcomers::{self, Watch};
use crate::options::{Cores, Options};
use crate::priority::Preferred;
use crate::samples::Quantiles;
use crate::{failure_of, priority, status};
use load::failure::Failure;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;
use test_support::proc;

/// The core of the gateway, and that of its clients and attackers, if they are split.
const GATEWAY_CORE: usize = 0;
const CLIENTS_CORE: usize = 1;
/// Indexes of the measured parts.
pub const QUIET: usize = 0;
pub const ATTACKED: usize = 1;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
/// Memory that belongs to no peer: what the workers use while they handle a message, and what the allocator keeps for
/// some seconds after it was freed.
const WORKING_MEMORY: u64 = 32 * MIB;

/// Everything that was measured.
#[derive(Default)]
pub struct Measurement {
    pub attack: String,
    pub quiet: Quantiles,
    pub attacked: Quantiles,
    /// How late the healthy clients sent their requests during the attack: this program's own share of the latency.
    pub own_delay: Quantiles,
    pub damage: Damage,
    pub memory: Memory,
    /// The gateway's CPU time during the attack, in percent of one core.
    pub cpu_percent: f64,
    pub outcome: Outcome,
    pub watch: Watch,
    /// Whether the gateway ended.
    pub has_died: bool,
}

/// Bytes of the gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Memory {
    /// Resident before the attack.
    pub quiet: u64,
    /// The most that was resident.
    pub peak: u64,
    /// The most that `/status` reported as held for peers.
    pub held: u64,
    /// The most that may be resident: what was resident before, the bounds of what may be held for peers, and memory
    /// that belongs to no peer.
    pub bound: u64,
}

/// Starts a gateway, measures, and ends it.
pub fn run(attack: &Attack, options: &Options) -> Result<Measurement, Failure> {
    let mut gateway = start(options)?;
    let _preferred = Preferred::thread();
    let mut healthy = Healthy::connect(gateway.addresses.clients, options.clients, options.rate)?;
    healthy.run(QUIET, options.quiet)?;
    let report = status::read(gateway.addresses.ops, Duration::from_secs(10)).map_err(failure_of("/status"))?;
    let quiet = proc::resident_bytes(gateway.pid()).map_err(failure_of("memory"))?;
    let (is_over, cpu) = (AtomicBool::new(false), gateway.cpu_time()?);
    let (outcome, watch, cpu_percent) = thread::scope(|scope| {
        let attacking = scope.spawn(|| attackers::run(attack, gateway.addresses, &is_over));
        let watching = scope.spawn(|| newcomers::run(gateway.addresses, &is_over));
        let result = healthy.run(ATTACKED, options.seconds);
        is_over.store(true, Relaxed);
        let cpu = gateway.cpu_time().map(|now| now.saturating_sub(cpu).div_duration_f64(options.seconds) * 100.0);
        let outcome = attacking.join().unwrap_or_else(|_| Err(Failure("the attackers panicked".to_owned())));
        let watch = watching.join().map_err(|_| Failure("the newcomers panicked".to_owned()));
        result.and(Ok((outcome?, watch?, cpu.unwrap_or(0.0))))
    })?;
    let damage = healthy.settle()?;
    let has_died = !gateway.is_running()?;
    let peak = proc::peak_resident_bytes(gateway.pid()).unwrap_or(0);
    let bound = quiet + held_bound(&report, attack);
    Ok(Measurement {
        attack: attack.name.clone(),
        quiet: healthy.samples(QUIET).quantiles(),
        attacked: healthy.samples(ATTACKED).quantiles(),
        own_delay: healthy.delays(ATTACKED).quantiles(),
        damage,
        memory: Memory { quiet, peak, held: watch.held_bytes, bound },
        cpu_percent,
        outcome,
        watch,
        has_died,
    })
}

/// Starts a gateway on the cores that these options give it.
pub fn start(options: &Options) -> Result<Gateway, Failure> {
    let is_split = options.cores == Cores::Split;
    if is_split {
        priority::pin(CLIENTS_CORE);
    }
    Gateway::start(&options.gateway, is_split.then_some(GATEWAY_CORE))
}

/// The bound of what may be resident for all peers: that of `/status` or, if the gateway has no bound for all together,
/// that of one connection for each.
fn held_bound(report: &serde_json::Value, attack: &Attack) -> u64 {
    let each = attack.groups.iter().map(|group| group.connections as u64 * bound_of(group.opening)).sum();
    WORKING_MEMORY + status::bound(report).unwrap_or(each)
}

/// What one connection may hold with the default limits.
fn bound_of(opening: Opening) -> u64 {
    match opening {
        // Outbox, unfinished message, header buffer.
        Opening::WebSocket(_) => 4 * MIB + MIB + 16 * KIB,
        // Header buffer, and the buffers of hyper.
        Opening::Tcp => 64 * KIB,
        // Also a request's body and a response.
        Opening::Ops => 2 * MIB,
    }
}
