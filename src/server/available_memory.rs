//! The memory that this process may use: the machine's, or less if its cgroup or its address space is limited.

use super::process::{LIMITS, field};
use std::fs;
use std::path::{Path, PathBuf};

/// The memory that is assumed if nothing can be read.
const DEFAULT_BYTES: u64 = 1 << 30;

/// Where the kernel shows cgroups: version 2, alone or beside version 1, and version 1.
const CGROUP_ROOTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
const CGROUP_V1_ROOT: &str = "/sys/fs/cgroup/memory";

/// The bytes of memory that this process may use.
pub fn available_memory() -> u64 {
    let cgroups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let address_space = field(LIMITS, "Max address space").map(|bytes| bytes as u64);
    let limits = [machine_memory(), address_space, cgroup_limit(&cgroups)];
    limits.into_iter().flatten().min().unwrap_or(DEFAULT_BYTES)
}

/// The machine's memory. A service without access to `/proc/meminfo` (systemd's `ProcSubset=pid`) adds up its nodes.
fn machine_memory() -> Option<u64> {
    let kibibytes = field("/proc/meminfo", "MemTotal:").or_else(|| {
        let nodes = fs::read_dir("/sys/devices/system/node").ok()?;
        let totals = nodes.flatten().filter_map(|entry| {
            let label = format!("Node {} MemTotal:", entry.file_name().to_str()?.strip_prefix("node")?);
            field(entry.path().join("meminfo"), &label)
        });
        Some(totals.sum()).filter(|total| *total > 0)
    });
    kibibytes.map(|kibibytes| kibibytes as u64 * 1024)
}

/// The lowest limit of the process's cgroup and its ancestors. `cgroups` is `/proc/self/cgroup`: a line for each
/// hierarchy, with its number (0 for version 2), its controllers and the cgroup.
fn cgroup_limit(cgroups: &str) -> Option<u64> {
    let files = cgroups.lines().flat_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (number, controllers, cgroup) = (parts.next(), parts.next().unwrap_or_default(), parts.next());
        let cgroup = cgroup.unwrap_or_default();
        if number == Some("0") {
            CGROUP_ROOTS.iter().flat_map(|root| files_upwards(root, cgroup, "memory.max")).collect()
        } else if controllers.split(',').any(|controller| controller == "memory") {
            files_upwards(CGROUP_V1_ROOT, cgroup, "memory.limit_in_bytes")
        } else {
            Vec::new()
        }
    });
    // Version 2 says "max" if there is no limit, version 1 a number above any machine's memory.
    files.filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok()).min()
}

/// The file of this name in a cgroup's directory and in those above it. In a container, the cgroup may be named as
/// outside of it: only the root's file then exists.
fn files_upwards(root: &str, cgroup: &str, name: &str) -> Vec<PathBuf> {
    let ancestors = Path::new(cgroup.trim_start_matches('/')).ancestors();
    ancestors.map(|cgroup| Path::new(root).join(cgroup).join(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn available_memory_is_a_plausible_part_of_the_machine() {
        let available = available_memory();
        assert!(machine_memory().is_none_or(|machine| available <= machine), "{available}");
        assert!(available > 16 << 20, "{available}");
    }

    #[test]
    fn limits_of_a_cgroup_and_its_ancestors_are_looked_for() {
        let files = files_upwards("/sys/fs/cgroup", "/system.slice/gateway.service", "memory.max");
        let expected = ["system.slice/gateway.service/", "system.slice/", ""];
        assert_eq!(files, expected.map(|dir| Path::new("/sys/fs/cgroup").join(dir).join("memory.max")));
        assert_eq!(cgroup_limit("0::/no/such/cgroup\n4:memory:/none\nmalformed\n\n").is_some(), {
            let roots = CGROUP_ROOTS.iter().map(|root| format!("{root}/memory.max"));
            let mut roots = roots.chain([format!("{CGROUP_V1_ROOT}/memory.limit_in_bytes")]);
            roots.any(|file| fs::read_to_string(file).is_ok_and(|text| text.trim().parse::<u64>().is_ok()))
        });
    }
}
