//! The settings of `[limits]`.

use super::Setting;
use super::kind::{Kind, USUAL};
use std::time::Duration;

const MIB: usize = 1024 * 1024;
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

pub(super) const LIMITS: &[Setting] = &[
    Setting::new(
        "max_connections",
        Kind::Connections(|config| &mut config.limits.max_connections),
        "Maximum concurrent connections of any kind: 1 up to the default, which is the process's descriptor limit minus 100 \
         (19900 if that is 20000), or minus a quarter of a limit below 400. A reload that lowers the limit closes no client.",
    )
    .summarized(
        "maximum concurrent connections; the default is the descriptor limit minus 100, or minus a quarter of a limit below \
         400; here for `ulimit -n 20000`",
    ),
    Setting::new(
        "max_message_bytes",
        Kind::Integer(125..=64 * MIB, |config| &mut config.limits.max_message_bytes),
        "Largest message from a client, in bytes. A larger one closes the client with 1009.",
    )
    .summarized("largest message from a client"),
    Setting::new(
        "max_batch_requests",
        Kind::Integer(1..=10_000, |config| &mut config.limits.max_batch_requests),
        "Requests in one JSON-RPC batch.",
    ),
    Setting::new(
        "max_subscriptions",
        Kind::Integer(1..=10_000, |config| &mut config.limits.max_subscriptions),
        "Topics that one client may subscribe to, and that one request may name.",
    ),
    Setting::new(
        "closed_connections",
        Kind::Integer(0..=1_000_000, |config| &mut config.limits.closed_connections),
        "How many ended connections clients.closed remembers.",
    ),
    Setting::new(
        "outbox_max_bytes",
        Kind::Integer(1024..=1024 * MIB, |config| &mut config.limits.outbox_max_bytes),
        "Bytes that may wait for one client, each message with 64 more than its length; at least twice max_message_bytes. A \
         message beyond that closes the client with 4101, except the request of a node.invoke, which is not sent: the call \
         fails with node_outbox_full.",
    )
    .summarized("bytes that may wait for one client"),
    Setting::new(
        "max_memory_for_clients",
        Kind::Memory(|config| &mut config.limits.max_memory_for_clients),
        "Memory that all clients together may make the gateway hold: messages that wait for them, and requests, messages \
         and batches that aren't complete. Bytes (1048576 to 1099511627776), or a part of the memory that the machine or the \
         cgroup (MemoryMax=) has: \"1%\" to \"100%\". Above seven eighths of it, clients that hold over 64 KiB aren't read, \
         those that hold the most are closed with 1013, and the admin API answers 503.",
    )
    .summarized(
        "memory that all clients together may make the gateway hold, of the machine's or the cgroup's",
    ),
    Setting::new(
        "max_messages_per_second",
        Kind::Integer(0..=1_000_000, |config| &mut config.limits.max_messages_per_second),
        "Messages (pings and pongs included) that one client may send in a second, on average; 0 is no limit.",
    ),
    Setting::new(
        "max_bytes_per_second",
        Kind::Integer(0..=1024 * MIB, |config| &mut config.limits.max_bytes_per_second),
        "Bytes that one client may send in a second, on average; 0 is no limit.",
    ),
    Setting::new(
        "rate_burst",
        Kind::Duration(USUAL, |config| &mut config.limits.rate_burst),
        "How many seconds' worth of these a client may send at once. Beyond it, nothing is read from the client until it is \
         within its rate again; no message is lost.",
    ),
    Setting::new(
        "rate_timeout",
        Kind::Duration(USUAL, |config| &mut config.limits.rate_timeout),
        "A client is closed with 4102 if it has sent too much for this long, without a moment in which all of it was read.",
    ),
    Setting::new(
        "write_timeout",
        Kind::Duration(USUAL, |config| &mut config.limits.write_timeout),
        "A client is closed with 4101 when its socket accepts no data for this long, because the client doesn't read.",
    ),
    Setting::new(
        "max_lifetime",
        Kind::Duration(Duration::ZERO..=YEAR, |config| &mut config.limits.max_lifetime),
        "How long a client may be connected, less a random part of up to a tenth; \"0s\" is no limit. It is then closed with \
         4200, and reconnects at once: to another gateway behind a load balancer, with its current credential.",
    ),
    Setting::new(
        "close_timeout",
        Kind::Duration(USUAL, |config| &mut config.limits.close_timeout),
        "Maximum time for queued messages and the close handshake; after that, the connection is dropped.",
    ),
];
