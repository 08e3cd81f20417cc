//! Resource usage of a running process, read from `/proc`. Each function fails when the process doesn't exist.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

/// `USER_HZ`, the unit of CPU time in `/proc/PID/stat`: 100 a second on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// Resident memory in bytes (`VmRSS`).
pub fn resident_bytes(pid: u32) -> io::Result<u64> {
    Ok(read_field(&process_dir(pid).join("status"), "VmRSS:")? * 1024)
}

/// The most resident memory so far, in bytes (`VmHWM`).
pub fn peak_resident_bytes(pid: u32) -> io::Result<u64> {
    Ok(read_field(&process_dir(pid).join("status"), "VmHWM:")? * 1024)
}

/// CPU time used so far by all threads, in user space and in the kernel, in steps of 10 ms. Includes threads that have
/// ended.
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    let path = process_dir(pid).join("stat");
    parse_cpu_time(&read(&path)?).ok_or_else(|| invalid(&path, "utime and stime"))
}

/// The number of open descriptors.
pub fn open_descriptors(pid: u32) -> io::Result<usize> {
    entries(&process_dir(pid).join("fd")).map(|entries| entries.len())
}

/// The `/proc` directories of the process's threads. Once a thread has ended, reading from its directory fails.
pub fn threads(pid: u32) -> io::Result<Vec<PathBuf>> {
    entries(&process_dir(pid).join("task"))
}

/// CPU time of the thread with this directory, in nanoseconds. A kernel without scheduler statistics reports zero.
pub fn thread_time(thread: &Path) -> io::Result<Duration> {
    let path = thread.join("schedstat");
    let nanoseconds = parse_field(&read(&path)?, "").ok_or_else(|| invalid(&path, "number"))?;
    Ok(Duration::from_nanos(nanoseconds))
}

/// The first number after `name` at the start of a line. Fails for a zombie's memory: its `status` has no such line.
fn read_field(path: &Path, name: &str) -> io::Result<u64> {
    parse_field(&read(path)?, name).ok_or_else(|| invalid(path, name))
}

fn process_dir(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}"))
}

fn parse_field(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    value.split_ascii_whitespace().next()?.parse().ok()
}

fn parse_cpu_time(stat: &str) -> Option<Duration> {
    // The second field is the program's name in parentheses, which may contain anything. The third field follows it;
    // utime and stime are the 14th and 15th.
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace().skip(14 - 3);
    let mut ticks = || Some(TICK * fields.next()?.parse::<u32>().ok()?);
    Some(ticks()? + ticks()?)
}

fn read(path: &Path) -> io::Result<String> {
    fs::read_to_string(path).map_err(|error| with_path(path, &error))
}

fn entries(path: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(path).map_err(|error| with_path(path, &error))?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}

fn with_path(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn invalid(path: &Path, missing: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{} has no {missing}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::time::Instant;

    #[test]
    fn own_process_has_plausible_figures() {
        let pid = std::process::id();
        let start = Instant::now();
        while cpu_time(pid).unwrap() < 2 * TICK {
            assert!(start.elapsed() < Duration::from_secs(60), "no CPU time was counted");
        }
        assert!(resident_bytes(pid).unwrap() > 100_000);
        assert!(peak_resident_bytes(pid).unwrap() > 100_000);
        let own_thread = fs::canonicalize("/proc/thread-self").unwrap();
        assert!(threads(pid).unwrap().contains(&own_thread));
        assert!(thread_time(&own_thread).is_ok());
        let file = File::open("/proc/self/status").unwrap();
        assert!(open_descriptors(pid).unwrap() > 3);
        drop(file);
    }

    #[test]
    fn missing_process_is_named_in_the_error() {
        // Above the largest possible pid.
        let pid = 5_000_000;
        let errors = [
            resident_bytes(pid).unwrap_err(),
            cpu_time(pid).unwrap_err(),
            threads(pid).unwrap_err(),
            open_descriptors(pid).unwrap_err(),
        ];
        for error in errors {
            assert!(error.to_string().contains("/proc/5000000"), "{error}");
        }
    }

    #[test]
    fn program_name_may_contain_parentheses_and_spaces() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 250 31 0 0 20";
        assert_eq!(parse_cpu_time(stat), Some(Duration::from_millis(2500 + 310)));
        assert_eq!(parse_cpu_time("7 (a) S 1"), None);
    }

    #[test]
    fn field_is_found_only_at_the_start_of_a_line() {
        let status = "Name:\tVmRSS: 1\nVmRSS:\t    1234 kB\n";
        assert_eq!(parse_field(status, "VmRSS:"), Some(1234));
        assert_eq!(parse_field(status, "VmHWM:"), None);
    }
}
