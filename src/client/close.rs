//! Why a connection ended: the only list of it.

use std::fmt;

macro_rules! close_reasons {
    ($($(#[$doc:meta])* $variant:ident = $label:literal, $code:literal;)*) => {
        /// Why a connection ended. Its label is the close frame's reason text, the log key and the name in
        /// `/status`; its code is the close frame's (RFC 6455, section 7.4).
        ///
        /// 4000-4099: don't come back as you are; 4100-4199: come back after a back-off; 4200-4299: come
        /// back now.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum CloseReason {
            $($(#[$doc])* $variant,)*
        }

        impl CloseReason {
            /// Every reason, in the order of the codes.
            pub const ALL: &'static [CloseReason] = &[$(CloseReason::$variant),*];

            /// The labels of [`CloseReason::ALL`].
            pub const LABELS: &'static [&'static str] = &[$($label),*];

            /// The word for it, everywhere.
            pub const fn label(self) -> &'static str {
                match self { $(CloseReason::$variant => $label),* }
            }

            /// The close code. 1006 is never sent: it stands for a transport that broke.
            pub const fn code(self) -> u16 {
                match self { $(CloseReason::$variant => $code),* }
            }
        }
    };
}

close_reasons! {
    /// The client closed.
    Normal = "normal", 1000;
    /// The client said that it goes away.
    GoingAway = "going_away", 1001;
    /// A frame against RFC 6455.
    ProtocolError = "protocol_error", 1002;
    /// A binary message.
    UnsupportedData = "unsupported_data", 1003;
    /// The transport broke; no close frame was exchanged.
    Abnormal = "abnormal", 1006;
    /// Text that isn't UTF-8.
    InvalidPayload = "invalid_payload", 1007;
    /// A message over `limits.max_message_bytes`.
    MessageTooBig = "message_too_big", 1009;
    /// The gateway's fault.
    InternalError = "internal_error", 1011;
    /// Shutdown or restart.
    Draining = "draining", 1012;
    /// Full; try again later.
    Overloaded = "overloaded", 1013;
    /// An operator's request.
    Kicked = "kicked", 4000;
    /// A newer connection with the same presence key took over.
    Replaced = "replaced", 4001;
    /// The credential left the configuration.
    CredentialRevoked = "credential_revoked", 4002;
    /// Silent after a ping.
    PongTimeout = "pong_timeout", 4100;
    /// The outbox was full, or a write made no progress.
    SlowConsumer = "slow_consumer", 4101;
    /// Too many messages.
    RateLimited = "rate_limited", 4102;
    /// The connection reached its greatest age.
    MaxLifetime = "max_lifetime", 4200;
}

impl CloseReason {
    /// What an operator's words about a close may take at most: a close frame's reason has 123 bytes (RFC 6455, section
    /// 5.5), and the label stands before them.
    pub const NOTE_BYTES: usize = 100;
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_allowed_and_in_order() {
        let codes: Vec<u16> = CloseReason::ALL.iter().map(|reason| reason.code()).collect();
        assert!(codes.is_sorted_by(|a, b| a < b), "{codes:?}");
        for code in codes {
            assert!(matches!(code, 1000..=1003 | 1006 | 1007 | 1009 | 1011..=1013 | 4000..=4299), "{code}");
        }
    }

    #[test]
    fn labels_fit_a_close_frame_and_a_log_key() {
        for (reason, label) in CloseReason::ALL.iter().zip(CloseReason::LABELS) {
            assert_eq!(reason.label(), *label);
            assert!(label.len() <= 123 && label.bytes().all(|c| c.is_ascii_lowercase() || c == b'_'));
        }
    }

    #[test]
    fn the_readme_has_a_row_for_each() {
        let readme = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/rpc/README.md"));
        for reason in CloseReason::ALL {
            let row = format!("| `{}` | {} |", reason.label(), reason.code());
            assert!(readme.contains(&row), "src/rpc/README.md lacks {row}");
        }
    }
}
