//! The sections and their settings, except `[limits]`.

use super::kind::{Kind, USUAL};
use super::{Section, Setting};
use crate::config::checks;
use crate::config::settings::limits::LIMITS;
use std::ops::RangeInclusive;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
/// The numbers that a limit on a rate or on connections allows; 0 is no limit.
const MILLION: RangeInclusive<usize> = 0..=1_000_000;

/// All sections, in the order in which they are described.
pub static SECTIONS: &[Section] = &[
    Section::new("", "", TOP_LEVEL),
    Section::new("handshake", "Opening handshakes, and plain HTTP connections.", HANDSHAKE),
    Section::new(
        "proxy",
        "Proxies in front of the gateway. Without this section, remote_addr is the address of the proxy.",
        PROXY,
    )
    .checked(checks::check_proxy),
    Section::new(
        "per_address",
        "Limits on each IP address; an IPv6 /64 network counts as one address. Loopback addresses, Unix sockets and \
         trusted proxies have no limits on connections: behind a proxy that isn't in proxy.trusted, all clients share \
         its address.",
        PER_ADDRESS,
    ),
    Section::new("heartbeat", "Pings, which keep connections alive and find dead ones.", HEARTBEAT)
        .checked(checks::check_heartbeat),
    Section::new("limits", "Limits on the gateway and on each client.", LIMITS).checked(checks::check_limits),
    Section::new(
        "presence",
        "What happens when a second client connects with the same presence key (\"role:name\"), one line for each role. \
         allow: both stay. replace: the older one is closed with 4001. reject: the new one is refused with 409, also \
         while the old connection is dead but the gateway hasn't noticed yet.",
        PRESENCE,
    ),
    Section::new("calls", "Calls of methods on nodes.", CALLS),
    Section::new("ops", "Monitoring and the admin API: /status, /clients, /nodes, /topics.", OPS),
    Section::new("shutdown", "How the gateway stops.", SHUTDOWN),
    Section::new("auth", "Authentication: which clients may connect.", AUTH),
];

const TOP_LEVEL: &[Setting] = &[
    Setting::new(
        "listen",
        Kind::Addresses { may_be_empty: false, field: |config| &mut config.listen },
        "Addresses to listen on: IP addresses with a port, and Unix sockets (created with mode 660): \
         [\"127.0.0.1:8080\", \"[::1]:8080\", \"unix:/run/aisopod-gateway/gateway.sock\"].\n\
         An address that other machines can reach needs auth.mode = \"token\" or \"password\". \"0.0.0.0\" takes IPv4 \
         connections only and \"[::]\" IPv6 only; for both, set both: [\"0.0.0.0:8080\", \"[::]:8080\"]. Port 0 selects \
         any free port.\n\
         Not used if systemd passes sockets named clients: then ListenStream= in aisopod-gateway.socket has the addresses.",
    )
    .summarized("IP addresses with a port, and Unix sockets, `\"unix:/run/aisopod-gateway/gateway.sock\"`")
    .needs_restart(),
    Setting::new(
        "listen_reuse_port",
        Kind::Boolean(|config| &mut config.listen_reuse_port),
        "Lets several gateways of one user listen on the same TCP addresses (SO_REUSEPORT); each must have this set. The \
         kernel distributes the connections among them. A Unix socket can't be shared.",
    )
    .needs_restart(),
    Setting::new(
        "log_level",
        Kind::Level(|config| &mut config.log_level),
        "What is logged, to standard error: off, error, warn, info, debug, trace.",
    )
    .summarized("`off`, `error`, `warn`, `info`, `debug`, `trace`"),
];

const HANDSHAKE: &[Setting] = &[
    Setting::new(
        "timeout",
        Kind::Duration(USUAL, |config| &mut config.handshake.timeout),
        "Maximum time from accept until the WebSocket is open; a connection that takes longer is dropped.",
    ),
    Setting::new(
        "idle_timeout",
        Kind::Duration(USUAL, |config| &mut config.handshake.idle_timeout),
        "How long a keep-alive HTTP connection may wait for its next request.",
    ),
    Setting::new(
        "max_in_progress",
        Kind::Integer(0..=1_000_000_000, |config| &mut config.handshake.max_in_progress),
        "Connections whose first request hasn't arrived; 0 is a quarter of limits.max_connections. If there are more, or if \
         all slots are taken, the oldest of them is dropped.",
    ),
    Setting::new(
        "max_per_second",
        Kind::Integer(MILLION, |config| &mut config.handshake.max_per_second),
        "Connections that are accepted in a second, on average; 0 is no limit. The others wait in the kernel's queue. This \
         keeps the processors free for the clients that are in when very many reconnect at once.",
    ),
    Setting::new(
        "max_header_bytes",
        Kind::Integer(8192..=65_536, |config| &mut config.handshake.max_header_bytes),
        "Largest request line and headers together, in bytes. A request may have at most 100 headers.",
    ),
    Setting::new(
        "refuse_in_band",
        Kind::Boolean(|config| &mut config.handshake.refuse_in_band),
        "A browser hides the status of a refused handshake from its page. With true, a handshake that would get 401, 409, \
         429 or 503 is upgraded and closed at once with a close code and the error's code as the reason: aisopod-gateway-protocol(7) \
         lists them.",
    ),
    Setting::new(
        "allowed_origins",
        Kind::Origins(|config| &mut config.handshake.allowed_origins),
        "Origins of web pages that may connect and use the admin API, in addition to the gateway's own host: \
         [\"https://app.example.com\", \"https://*.example.com\"], where *. stands for one or more labels. \"null\" is a \
         page without an origin, such as a local file; some browsers and web views send \"file://\" for that. \"*\" is any \
         page, which needs auth.mode = \"token\" or \"password\".\n\
         Clients that aren't browsers send no Origin and need no entry.",
    )
    .summarized(
        "origins of web pages that may connect and use the admin API, in addition to the gateway's own host",
    ),
];

const PROXY: &[Setting] = &[
    Setting::new(
        "trusted",
        Kind::Peers(|config| &mut config.proxy.trusted),
        "The proxies that are believed: IP addresses, networks such as \"10.0.0.0/8\", and \"unix\" for the peers at Unix \
         sockets. Forwarding headers of all other peers are ignored.",
    ),
    Setting::new(
        "header",
        Kind::Header(|config| &mut config.proxy.header),
        "The header in which they pass on a client's address: \"x-forwarded-for\", or \"forwarded\" (RFC 7239). It is read \
         from the right, past further trusted proxies. The proxies must set it or append to it.",
    ),
    Setting::new(
        "protocol",
        Kind::Boolean(|config| &mut config.proxy.protocol),
        "Whether they begin each connection to the addresses of `listen` with a PROXY protocol header, version 1 or 2 \
         (HAProxy's send-proxy and send-proxy-v2, nginx's proxy_protocol, load balancers). A connection without one is then \
         refused.",
    ),
];

const PER_ADDRESS: &[Setting] = &[
    Setting::new(
        "max_connections",
        Kind::Integer(MILLION, |config| &mut config.per_address.max_connections),
        "Concurrent connections, and how many may be opened at once; 0 is no limit. A further one gets 429. Those at the \
         addresses of ops.listen count apart.",
    ),
    Setting::new(
        "max_connects_per_second",
        Kind::Integer(MILLION, |config| &mut config.per_address.max_connects_per_second),
        "New connections in a second, on average; 0 is no limit. Beyond it they get 429.",
    ),
    Setting::new(
        "max_failures_per_minute",
        Kind::Integer(1..=1_000_000, |config| &mut config.per_address.max_failures_per_minute),
        "Failed authentications in a minute, at /ws and the admin API together. A further failure gets 429 instead of 401, \
         and locks the address out for 5 s; each failure during a lockout doubles it, up to an hour. Valid credentials are \
         accepted meanwhile, since other clients may have the same address. Unix sockets have no limit.",
    ),
    Setting::new(
        "exempt",
        Kind::Peers(|config| &mut config.per_address.exempt),
        "Peers without these limits, such as an office behind one address: like proxy.trusted.",
    ),
];

const HEARTBEAT: &[Setting] = &[
    Setting::new(
        "interval",
        Kind::Duration(USUAL, |config| &mut config.heartbeat.interval),
        "Time between two pings to a client. A proxy in front of the gateway needs a longer read timeout.",
    )
    .summarized("time between two pings to a client")
    .needs_restart(),
    Setting::new(
        "timeout",
        Kind::Duration(USUAL, |config| &mut config.heartbeat.timeout),
        "How long a client may stay silent after a ping before it is closed with 4100. Not longer than the interval.",
    )
    .summarized("how long a client may stay silent after a ping")
    .needs_restart(),
];

const PRESENCE: &[Setting] = &[
    Setting::new("operator", Kind::Policy("operator"), "The policy for operators.").summarized(
        "when a second client has the same presence key: `allow`, `replace` the older one, or `reject` the new one",
    ),
    Setting::new("node", Kind::Policy("node"), "The policy for nodes.").summarized("the same for nodes"),
    Setting::new("ROLE", Kind::OtherPolicies, "The policy for another role; \"allow\" by default."),
];

const CALLS: &[Setting] = &[
    Setting::new(
        "timeout",
        Kind::Duration(USUAL, |config| &mut config.calls.timeout),
        "How long a node may take to answer, unless the caller sets a timeout.",
    )
    .summarized("how long a node may take to answer, unless the caller sets a timeout"),
    Setting::new(
        "max_per_caller",
        Kind::Integer(1..=1_000_000, |config| &mut config.calls.max_per_caller),
        "Calls in flight from one client, or over HTTP from one credential.",
    ),
    Setting::new(
        "max_per_node",
        Kind::Integer(1..=1_000_000, |config| &mut config.calls.max_per_node),
        "Calls in flight to one node. One caller may have at most four times as many as are free, so that there is room for \
         others.",
    ),
];

const OPS: &[Setting] = &[Setting::new(
    "listen",
    Kind::Addresses { may_be_empty: true, field: |config| &mut config.ops.listen },
    "Separate addresses for them: [\"127.0.0.1:8081\"]. When set, these paths are served only there; /ws only at `listen`; \
     /healthz and /readyz at both. They have 32 connections of their own: beyond these, a new one takes the slot of the one \
     that has waited longest for its peer; if all are being answered, it gets 503.\n\
     Not used if systemd passes sockets named ops, as with aisopod-gateway-ops.socket.",
)
.summarized("separate addresses for `/status` and the admin API, which are then served only there")
.needs_restart()];

const SHUTDOWN: &[Setting] = &[Setting::new(
    "drain_timeout",
    Kind::Duration(Duration::from_millis(1)..=HOUR, |config| &mut config.shutdown.drain_timeout),
    "How long a shutdown may take. Close frames are spread over at most three quarters of it; connections that are still \
     open at its end are aborted. The unit's TimeoutStopSec= must be longer.",
)
.summarized("how long a shutdown may take")];

const AUTH: &[Setting] = &[
    Setting::new(
        "mode",
        Kind::AuthMode,
        "none: every client that reaches the gateway is the operator \"anonymous\" with all scopes. Allowed on loopback \
         addresses and Unix sockets only. token: Authorization: Bearer, or a browser's subprotocol. password: \
         Authorization: Basic.",
    )
    .summarized("`none`, `token`, `password`"),
    Setting::new(
        "allow_insecure",
        Kind::Boolean(|config| &mut config.allow_insecure),
        "Allow addresses that other machines can reach although mode is none. Every client there then has all scopes.",
    ),
    Setting::new(
        "credentials",
        Kind::Credentials,
        "One block for each client identity, with two brackets. It needs mode = \"token\" or \"password\". \
         `aisopod-gateway token --name alice --role operator --scope clients:read` prints a new token and its block.",
    )
    .summarized("one `[[auth.credentials]]` block for each client identity"),
];

/// The keys of a credential, each with its description.
pub static CREDENTIAL_KEYS: &[(&str, &str)] = &[
    ("name", "1 to 64 letters, digits and . _ @ -; unique"),
    ("role", "operator, node, or a name of your own of the same characters (its clients count in the total only)"),
    (
        "scopes",
        "clients:read: lists of clients and nodes, the topics presence and health\n\
         clients:write: clients.send, clients.disconnect\n\
         events:read: gateway.subscribe to other topics; without it, only to those that are or begin with the client's \
         presence key and a slash: node:kitchen-pi, node:kitchen-pi/orders\n\
         events:publish: gateway.publish\n\
         nodes:invoke: node.invoke\n\
         *: everything. An unknown scope is allowed, with a warning\n\
         events:read, events:publish and nodes:invoke can be granted for a topic or method, or for all that begin with a \
         text: events:read:site.a, events:publish:alerts.*, nodes:invoke:light.*",
    ),
    (
        "not_after",
        "a date and time with an offset from UTC, without quotes: 2030-01-31T00:00:00Z. From then on the credential isn't \
         accepted, and clients that use it are closed with 4002. Without it, the credential doesn't expire",
    ),
    (
        "secret",
        "exactly one of: token_sha256 or token_file (mode token), password_sha256 or password_file (mode password)\n\
         *_sha256 is the SHA-256 of the token or password in hexadecimal digits: printf %s \"$PASSWORD\" | sha256sum\n\
         *_file is a file that holds the token or password itself. A relative path is looked up in $CREDENTIALS_DIRECTORY \
         first (systemd's LoadCredential=), then in the directory of this file. The file must not be accessible to others: \
         chmod o=. It has one line, the secret. A token has no white space",
    ),
];
