//! This process's memory, as the kernel sees it.

/// Resident bytes.
pub fn resident_bytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a Linux kernel");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number of kB");
    kilobytes * 1024.0
}
