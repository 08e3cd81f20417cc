//! The types of settings: how each is read, compared, copied and written.

use crate::auth::Role;
use crate::config::document::Table;
use crate::config::parse::{ORIGIN_SYNTAX, allowed_durations, allowed_integers, format_duration, parse_origin};
use crate::config::{Config, ForwardingHeader, ListenAddr, MemoryLimit};
use crate::network::PeerSet;
use log::LevelFilter;
use std::ops::RangeInclusive;
use std::time::Duration;

/// The durations that most settings allow.
pub(super) const USUAL: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(3600);

/// The place of a setting in a [`Config`].
type Field<T> = fn(&mut Config) -> &mut T;

/// A setting's type, the values that it allows, and its place in a [`Config`].
pub enum Kind {
    /// One address, or a list of them.
    Addresses {
        /// Whether the list may be empty.
        may_be_empty: bool,
        /// Its place.
        field: Field<Vec<ListenAddr>>,
    },
    /// `true` or `false`.
    Boolean(Field<bool>),
    /// A level of the log.
    Level(Field<LevelFilter>),
    /// A duration within bounds.
    Duration(RangeInclusive<Duration>, Field<Duration>),
    /// A whole number within bounds.
    Integer(RangeInclusive<usize>, Field<usize>),
    /// A number of connections, up to the one that the descriptor limit allows.
    Connections(Field<usize>),
    /// A limit on memory.
    Memory(Field<MemoryLimit>),
    /// A list of peers.
    Peers(Field<PeerSet>),
    /// A list of origins.
    Origins(Field<Vec<String>>),
    /// The name of a forwarding header.
    Header(Field<ForwardingHeader>),
    /// The presence policy of this role.
    Policy(&'static str),
    /// The presence policies of all roles but `operator` and `node`, each with the role as its key.
    OtherPolicies,
    /// The mode of authentication.
    AuthMode,
    /// The credentials.
    Credentials,
}

impl Kind {
    /// Reads the setting if the table has it, and adds a problem if its value isn't allowed. The settings of `[presence]`
    /// and `[auth]` are read elsewhere.
    pub(in crate::config) fn read(
        &self,
        key: &'static str,
        table: &mut Table<'_, '_>,
        config: &mut Config,
        descriptors: usize,
    ) {
        match self {
            Kind::Addresses { may_be_empty, field } => table.addresses(key, *may_be_empty, field(config)),
            Kind::Boolean(field) => table.boolean(key, field(config)),
            Kind::Level(field) => table.level(key, field(config)),
            Kind::Duration(allowed, field) => table.duration(key, allowed, field(config)),
            Kind::Integer(allowed, field) => table.integer(key, allowed, "", field(config)),
            Kind::Connections(field) => {
                let hint = format!(
                    ", the descriptor limit of {descriptors} less {} in reserve; LimitNOFILE= or ulimit -n raises it",
                    Config::reserved_of(descriptors)
                );
                table.integer(key, &(1..=Config::max_connections_for(descriptors)), &hint, field(config));
            }
            Kind::Memory(field) => table.memory_limit(key, field(config)),
            Kind::Peers(field) => table.peers(key, field(config)),
            Kind::Origins(field) => table.strings(key, parse_origin, ORIGIN_SYNTAX, field(config)),
            Kind::Header(field) => table.label(key, field(config)),
            Kind::Policy(_) | Kind::OtherPolicies | Kind::AuthMode | Kind::Credentials => {}
        }
    }

    /// The allowed values, if they are a range or a short list.
    pub fn allowed(&self) -> Option<String> {
        match self {
            Kind::Duration(allowed, _) => Some(allowed_durations(allowed)),
            Kind::Integer(allowed, _) => Some(allowed_integers(allowed)),
            _ => None,
        }
    }

    /// The value in a configuration, as it is written in a file. Empty for credentials, and for roles that have no policy.
    pub fn value(&self, config: &mut Config) -> String {
        match self {
            Kind::Addresses { field, .. } => list(field(config)),
            Kind::Boolean(field) => field(config).to_string(),
            Kind::Level(field) => quoted(field(config).to_string().to_ascii_lowercase()),
            Kind::Duration(_, field) => quoted(format_duration(*field(config))),
            Kind::Integer(_, field) | Kind::Connections(field) => field(config).to_string(),
            Kind::Memory(field) => match field(config) {
                MemoryLimit::Bytes(bytes) => bytes.to_string(),
                MemoryLimit::Percent(percent) => quoted(format!("{percent}%")),
            },
            Kind::Peers(field) => list(field(config).entries()),
            Kind::Origins(field) => list(field(config)),
            Kind::Header(field) => quoted(field(config).label().to_owned()),
            Kind::Policy(role) => quoted(config.presence.policy_for(&Role::from(*role)).to_string()),
            Kind::OtherPolicies => config.presence.other_policies(),
            Kind::AuthMode => quoted(config.auth.mode().to_owned()),
            Kind::Credentials => String::new(),
        }
    }

    /// Whether the value differs between two configurations.
    pub(super) fn is_changed(&self, old: &mut Config, new: &mut Config) -> bool {
        match self {
            Kind::Credentials => old.auth.credentials() != new.auth.credentials(),
            _ => self.value(old) != self.value(new),
        }
    }

    /// Copies the value of a setting that needs a restart. All others are left as they are.
    pub(super) fn copy(&self, from: &mut Config, to: &mut Config) {
        match self {
            Kind::Addresses { field, .. } => field(to).clone_from(field(from)),
            Kind::Boolean(field) => *field(to) = *field(from),
            Kind::Duration(_, field) => *field(to) = *field(from),
            _ => unreachable!("a reload applies all settings of other types"),
        }
    }
}

fn quoted(text: String) -> String {
    format!("\"{text}\"")
}

fn list(items: &[impl ToString]) -> String {
    let items: Vec<String> = items.iter().map(|item| quoted(item.to_string())).collect();
    format!("[{}]", items.join(", "))
}
