//! Events: topics and their subscribers.

pub mod health;
pub mod topics;
