//! Resource limits of this process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;

/// Raises the soft limit of open descriptors to the hard limit and returns it; `u64::MAX` means unlimited. Processes
/// that are started later inherit the limit.
///
/// # Errors
/// When the kernel refuses the new limit.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok(maximum.unwrap_or(u64::MAX))
}
