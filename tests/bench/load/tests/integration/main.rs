//! The load generator against small servers, correct and faulty ones.

mod failures;
mod modes;
mod server;
