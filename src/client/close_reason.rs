//! Why a connection ended: the only list of it.

use crate::labels::labels;

labels! {
    /// Why a connection ended. Its label is the close frame's reason text, the log key and the name in
    /// `/status`; its code is the close frame's (RFC 6455, section 7.4).
    ///
    /// 4000-4099: don't reconnect before something was changed. 4100-4199: reconnect after a pause. 4200-4299: reconnect
    /// at once.
    pub enum CloseReason {
        /// The client closed.
        Normal = "normal" => 1000,
        /// The client said that it goes away.
        GoingAway = "going_away" => 1001,
        /// A frame against RFC 6455.
        ProtocolError = "protocol_error" => 1002,
        /// A binary message.
        UnsupportedData = "unsupported_data" => 1003,
        /// The transport broke; no close frame was exchanged.
        Abnormal = "abnormal" => 1006,
        /// Text that isn't UTF-8.
        InvalidPayload = "invalid_payload" => 1007,
        /// A message over `limits.max_message_bytes`.
        MessageTooBig = "message_too_big" => 1009,
        /// The gateway's fault.
        InternalError = "internal_error" => 1011,
        /// Shutdown or restart.
        Draining = "draining" => 1012,
        /// Full; try again later.
        Overloaded = "overloaded" => 1013,
        /// An operator's request.
        Kicked = "kicked" => 4000,
        /// A newer connection with the same presence key took over.
        Replaced = "replaced" => 4001,
        /// The credential left the configuration.
        CredentialRevoked = "credential_revoked" => 4002,
        /// Silent after a ping.
        PongTimeout = "pong_timeout" => 4100,
        /// The outbox was full, or a write made no progress.
        SlowConsumer = "slow_consumer" => 4101,
        /// Too many messages.
        RateLimited = "rate_limited" => 4102,
        /// The connection reached its greatest age.
        MaxLifetime = "max_lifetime" => 4200,
    }
    /// The close code. 1006 is never sent: it stands for a transport that broke.
    fn code -> u16;
}

impl CloseReason {
    /// What an operator's words about a close may take at most: a close frame's reason has 123 bytes (RFC 6455, section
    /// 5.5), and the label stands before them.
    pub const MAX_DETAIL_BYTES: usize = 100;
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
        for label in CloseReason::ALL.iter().map(|reason| reason.label()) {
            assert!(label.len() <= 123 && label.bytes().all(|c| c.is_ascii_lowercase() || c == b'_'));
        }
    }

    #[test]
    fn the_readme_has_a_row_for_each() {
        let readme = include_str!("../../README.md");
        for reason in CloseReason::ALL {
            let row = format!("| `{}` | {} |", reason.label(), reason.code());
            assert!(readme.contains(&row), "README.md lacks {row}");
        }
    }
}
