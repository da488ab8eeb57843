//! The memory that this process occupies, by the kernel's account.

use std::fs;

/// Returns the bytes that are in memory now (VmRSS).
pub(crate) fn resident() -> Result<u64, String> {
    let status = fs::read_to_string("/proc/self/status").map_err(|error| error.to_string())?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.map(|it| it * 1024).ok_or_else(|| "no VmRSS in /proc/self/status".to_owned())
}
