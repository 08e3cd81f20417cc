//! The program `aisopod-gateway`; see [`aisopod_gateway::daemon`].

use std::process::ExitCode;

/// jemalloc, because most of a connection's memory is small blocks aligned to 128 bytes, and glibc's allocator leaves gaps
/// between those.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    aisopod_gateway::daemon::main()
}
