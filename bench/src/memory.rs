//! The memory of a process, by the kernel's account.

use std::fs;

use anyhow::{Context, Result};

/// Returns the megabytes of a process that are in memory now (VmRSS).
pub(crate) fn megabytes(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    resident(&status).with_context(|| format!("no VmRSS in /proc/{pid}/status"))
}

/// Reads VmRSS, where the kernel says kB and means 1,024 bytes.
fn resident(status: &str) -> Option<u64> {
    let (_, rest) = status.split_once("VmRSS:")?;
    let kibibytes: u64 = rest.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024 / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_the_resident_memory_is_read() {
        assert_eq!(
            resident("VmHWM:\t  999999 kB\nVmRSS:\t  92928 kB\nRssAnon:\t 1 kB\n"),
            Some(95)
        );
        assert_eq!(resident("Name:\tenvoy\n"), None);
    }
}
