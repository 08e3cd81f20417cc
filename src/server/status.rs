//! The JSON of `/status`. It contains only totals: it identifies no client, and its cost doesn't depend on the number
//! of clients, except for counting the descriptors before Linux 6.2 (see [`ProcessProbe`]).

use super::admin::stats::AdminStats;
use super::handshake_stats::HandshakeStats;
use super::process::{Process, ProcessProbe};
use crate::client::{CloseReason, SessionStats};
use crate::config::Config;
use crate::heartbeat::Heartbeat;
use crate::logging;
use crate::memory::MemoryAccount;
use crate::metrics::{Counter, CounterVec};
use crate::registry::{ClientRegistry, HealthSnapshot};
use crate::rpc::node_calls::CallCounts;
use crate::rpc::router::Router;
use serde::Serialize;
use std::time::Duration;

/// The sources of the report.
pub struct StatusSources<'a> {
    /// Limits and intervals.
    pub config: &'a Config,
    /// The numbers of clients.
    pub registry: &'a ClientRegistry,
    /// Totals of all sessions.
    pub stats: &'a SessionStats,
    /// What clients make the gateway hold.
    pub memory: &'a MemoryAccount,
    /// Connections before they become clients.
    pub handshakes: &'a HandshakeStats,
    /// The number of clients that didn't answer a ping.
    pub heartbeat: &'a Heartbeat,
    /// Requests to the admin API.
    pub admin: &'a AdminStats,
    /// Calls and events; `None` for a gateway with an embedder's handler.
    pub router: Option<&'a Router>,
    /// Memory and descriptors.
    pub process: &'a ProcessProbe,
    /// The time since the start.
    pub uptime: Duration,
    /// Whether the gateway is shutting down.
    pub draining: bool,
}

/// Monitoring systems depend on the keys: add new ones, but don't rename any.
#[derive(Serialize)]
struct Report<'a> {
    status: &'static str,
    version: &'static str,
    uptime_seconds: u64,
    clients: HealthSnapshot,
    peak_connections: u64,
    max_connections: usize,
    accepted_total: &'a Counter,
    handshakes: &'a HandshakeStats,
    closed_total: &'a CounterVec<CloseReason>,
    heartbeat: HeartbeatReport<'a>,
    messages: InOut<'a>,
    bytes: InOut<'a>,
    outbox: OutboxReport,
    memory: MemoryReport,
    #[serde(flatten)]
    rpc: Option<RpcReport<'a>>,
    log_lines_dropped: u64,
    process: Process,
}

#[derive(Serialize)]
struct HeartbeatReport<'a> {
    interval_seconds: f64,
    timeout_seconds: f64,
    pings_sent: &'a Counter,
    pongs_received: &'a Counter,
    timeouts: u64,
    round_trip_p50_microseconds: Option<u64>,
    round_trip_p99_microseconds: Option<u64>,
}

#[derive(Serialize)]
struct RpcReport<'a> {
    admin: &'a AdminStats,
    calls: &'a CallCounts,
    events: EventsReport<'a>,
}

#[derive(Serialize)]
struct EventsReport<'a> {
    published: &'a Counter,
    queued: &'a Counter,
}

#[derive(Serialize)]
struct InOut<'a> {
    r#in: &'a Counter,
    out: &'a Counter,
}

#[derive(Serialize)]
struct OutboxReport {
    bytes_queued: u64,
    peak_bytes: u64,
}

/// What clients make the gateway hold, of `limits.max_memory_for_clients`.
#[derive(Serialize)]
struct MemoryReport {
    held_bytes: u64,
    max_bytes: u64,
}

/// Renders the report as JSON text.
pub fn render(sources: &StatusSources<'_>) -> String {
    let StatusSources { config, stats, .. } = sources;
    let report = Report {
        status: if sources.draining { "draining" } else { "ok" },
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: sources.uptime.as_secs(),
        clients: sources.registry.health_snapshot(),
        peak_connections: stats.peak_sessions.get(),
        max_connections: config.limits.max_connections,
        accepted_total: &sources.handshakes.accepted,
        handshakes: sources.handshakes,
        closed_total: &stats.closed,
        heartbeat: HeartbeatReport {
            interval_seconds: config.heartbeat.interval.as_secs_f64(),
            timeout_seconds: config.heartbeat.timeout.as_secs_f64(),
            pings_sent: &stats.pings_sent,
            pongs_received: &stats.pongs_received,
            timeouts: sources.heartbeat.timeouts(),
            round_trip_p50_microseconds: stats.round_trips.quantile(0.50),
            round_trip_p99_microseconds: stats.round_trips.quantile(0.99),
        },
        messages: InOut { r#in: &stats.messages_in, out: &stats.messages_out },
        bytes: InOut { r#in: &stats.bytes_in, out: &stats.bytes_out },
        outbox: OutboxReport { bytes_queued: stats.outbox_bytes.get(), peak_bytes: stats.outbox_peak_bytes.get() },
        memory: MemoryReport { held_bytes: sources.memory.held(), max_bytes: sources.memory.limit() },
        rpc: sources.router.map(|router| RpcReport {
            admin: sources.admin,
            calls: router.call_counts(),
            events: EventsReport { published: router.events_published(), queued: router.events_queued() },
        }),
        log_lines_dropped: logging::dropped(),
        process: sources.process.read(),
    };
    serde_json::to_string(&report).expect("the report has string keys only")
}
