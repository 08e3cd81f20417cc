//! Counters of the admin API.

use crate::metrics::Counter;
use serde::Serialize;

/// Counts requests to the admin API.
#[derive(Debug, Default, Serialize)]
pub struct AdminStats {
    /// All requests that have a route.
    pub requests: Counter,
    /// Requests without a valid credential.
    pub unauthorized: Counter,
    /// Requests rejected because their address failed to authenticate too often.
    pub too_many_failures: Counter,
}
