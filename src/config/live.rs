//! The configuration in use.

use super::Config;
use parking_lot::RwLock;
use std::sync::Arc;

/// The configuration in use, which a reload replaces. What is read for each message has a copy of its own, in atomics:
/// all cores share this lock.
#[derive(Debug)]
pub struct LiveConfig(RwLock<Arc<Config>>);

impl LiveConfig {
    /// Begins with this configuration.
    pub fn new(config: Config) -> Arc<Self> {
        Arc::new(LiveConfig(RwLock::new(Arc::new(config))))
    }

    /// The defaults with a change.
    #[cfg(test)]
    pub fn with(change: impl FnOnce(&mut Config)) -> Arc<Self> {
        let mut config = Config::new(1024);
        change(&mut config);
        Self::new(config)
    }

    /// The configuration now. Not to be kept: a later call may return another one.
    pub fn load(&self) -> Arc<Config> {
        self.0.read().clone()
    }

    /// Replaces the configuration.
    pub fn replace(&self, config: Config) {
        *self.0.write() = Arc::new(config);
    }
}
