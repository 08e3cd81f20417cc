//! The program `aisopod-gateway`; see [`aisopod_gateway::daemon`].

use std::process::ExitCode;

/// A connection's memory is mostly small blocks aligned to 128 bytes; glibc's allocator leaves gaps between them.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    aisopod_gateway::daemon::main()
}
