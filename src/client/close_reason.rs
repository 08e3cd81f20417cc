//! The reasons for which a connection ends, each with its close code and label.

use crate::labels::labels;

labels! {
    /// Why a connection ended. Its label is the close frame's reason text, the value of `reason` in the log
    /// and the key in `/status`; its code is the close frame's (RFC 6455, section 7.4).
    ///
    /// 4000-4099: don't reconnect until something has changed. 4100-4199: reconnect after a pause. 4200-4299: reconnect
    /// at once.
    pub enum CloseReason {
        /// The client closed the connection.
        Normal = "normal" => 1000,
        /// The client closed with code 1001: it is going away.
        GoingAway = "going_away" => 1001,
        /// The client sent a frame that violates RFC 6455, or closed with code 1002.
        ProtocolError = "protocol_error" => 1002,
        /// The client sent a binary message.
        UnsupportedData = "unsupported_data" => 1003,
        /// The transport broke; no close frame was exchanged.
        Abnormal = "abnormal" => 1006,
        /// The client sent text that isn't UTF-8.
        InvalidPayload = "invalid_payload" => 1007,
        /// The client sent a message over `limits.max_message_bytes`.
        MessageTooBig = "message_too_big" => 1009,
        /// An internal error of the gateway.
        InternalError = "internal_error" => 1011,
        /// The gateway is shutting down or restarting.
        Draining = "draining" => 1012,
        /// The client was the largest holder of memory when `limits.max_memory_for_clients` was nearly reached.
        Overloaded = "overloaded" => 1013,
        /// An operator disconnected the client.
        Kicked = "kicked" => 4000,
        /// A newer connection with the same presence key took over.
        Replaced = "replaced" => 4001,
        /// The credential has reached its `not_after`.
        CredentialRevoked = "credential_revoked" => 4002,
        /// Nothing was received within the timeout after a ping.
        PongTimeout = "pong_timeout" => 4100,
        /// The outbox was full, or the socket accepted nothing for `limits.write_timeout`.
        SlowConsumer = "slow_consumer" => 4101,
        /// The client kept sending more than `limits.max_messages_per_second` or `limits.max_bytes_per_second`.
        RateLimited = "rate_limited" => 4102,
        /// The client was connected for `limits.max_lifetime`.
        MaxLifetime = "max_lifetime" => 4200,
    }
    /// The close code. 1006 is never sent: it stands for a transport that broke.
    fn code -> u16;
}

impl CloseReason {
    /// The most bytes of a detail text in a close frame: its reason has at most 123 bytes (RFC 6455,
    /// section 5.5), and the label comes first.
    pub const MAX_DETAIL_BYTES: usize = 100;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_valid_and_ascending() {
        let codes: Vec<u16> = CloseReason::ALL.iter().map(|reason| reason.code()).collect();
        assert!(codes.is_sorted_by(|a, b| a < b), "{codes:?}");
        for code in codes {
            assert!(matches!(code, 1000..=1003 | 1006 | 1007 | 1009 | 1011..=1013 | 4000..=4299), "{code}");
        }
    }

    #[test]
    fn labels_are_plain_words_and_fit_a_close_frame_with_detail() {
        for label in CloseReason::ALL.iter().map(|reason| reason.label()) {
            assert!(
                label.len() + ": ".len() + CloseReason::MAX_DETAIL_BYTES <= 123
                    && label.bytes().all(|c| c.is_ascii_lowercase() || c == b'_')
            );
        }
    }

    #[test]
    fn readme_has_a_row_for_each_reason() {
        let readme = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/rpc/README.md"));
        for reason in CloseReason::ALL {
            let row = format!("| `{}` | {} |", reason.label(), reason.code());
            assert!(readme.contains(&row), "README.md lacks {row}");
        }
    }
}
