//! A data message (RFC 6455, section 5.6).

use hyper::body::Bytes;
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// A message with application data. Cloning it shares the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A text message.
    Text(Utf8Bytes),
    /// A binary message.
    Binary(Bytes),
}
