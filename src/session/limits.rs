//! The limits on each session. A reload sets them while sessions read them, for each message: they are atomics, since all
//! cores would share a lock.

use crate::config::Limits;
use crate::ws::codec_config;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// The limits on each session.
#[derive(Default)]
pub struct SessionLimits {
    max_message_bytes: AtomicUsize,
    pub rate: RateLimits,
    pub write_timeout: AtomicDuration,
    pub close_timeout: AtomicDuration,
}

impl SessionLimits {
    /// The limits of a configuration.
    pub fn new(limits: &Limits) -> Self {
        let new = SessionLimits::default();
        new.set(limits);
        new
    }

    /// Sets all limits.
    pub fn set(&self, limits: &Limits) {
        self.max_message_bytes.store(limits.max_message_bytes, Relaxed);
        self.rate.set(limits);
        self.write_timeout.set(limits.write_timeout);
        self.close_timeout.set(limits.close_timeout);
    }

    /// The codec's settings.
    pub fn codec_config(&self) -> WebSocketConfig {
        codec_config(self.max_message_bytes.load(Relaxed))
    }
}

/// The limits on the rate of each client.
#[derive(Default)]
pub struct RateLimits {
    /// Nanoseconds of the rate that one message takes; 0 without a limit.
    nanos_per_message: AtomicU64,
    /// The same for one byte, as the bits of an `f64`.
    nanos_per_byte: AtomicU64,
    burst: AtomicDuration,
    timeout: AtomicDuration,
}

/// The limits on the rate of each client, at one moment.
#[derive(Clone, Copy)]
pub struct RateSnapshot {
    /// Nanoseconds of the rate that one message and one byte take; 0 without a limit.
    pub nanos_per_message: u64,
    pub nanos_per_byte: f64,
    /// How far a client may be ahead of the rate.
    pub burst: Duration,
    /// How long a client may keep exceeding the rate.
    pub timeout: Duration,
}

impl RateLimits {
    fn set(&self, limits: &Limits) {
        let nanos_per = |rate: usize| if rate == 0 { 0.0 } else { 1e9 / rate as f64 };
        self.nanos_per_message.store(nanos_per(limits.max_messages_per_second) as u64, Relaxed);
        self.nanos_per_byte.store(nanos_per(limits.max_bytes_per_second).to_bits(), Relaxed);
        self.burst.set(limits.rate_burst);
        self.timeout.set(limits.rate_timeout);
    }

    /// The limits now; `None` if clients may send at any rate.
    pub fn get(&self) -> Option<RateSnapshot> {
        let nanos_per_message = self.nanos_per_message.load(Relaxed);
        let nanos_per_byte = f64::from_bits(self.nanos_per_byte.load(Relaxed));
        (nanos_per_message > 0 || nanos_per_byte > 0.0).then(|| RateSnapshot {
            nanos_per_message,
            nanos_per_byte,
            burst: self.burst.get(),
            timeout: self.timeout.get(),
        })
    }
}

/// A duration that is set while others read it, in nanoseconds.
#[derive(Default)]
pub struct AtomicDuration(AtomicU64);

impl AtomicDuration {
    pub fn set(&self, duration: Duration) {
        self.0.store(duration.as_nanos() as u64, Relaxed);
    }

    pub fn get(&self) -> Duration {
        Duration::from_nanos(self.0.load(Relaxed))
    }
}
