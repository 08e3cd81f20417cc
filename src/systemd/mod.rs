//! The service manager: notifications to it, and the sockets that it passes. Without a service manager, nothing is sent or
//! passed.

pub mod notify;
pub mod sockets;
