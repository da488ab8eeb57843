//! The CPU time of a process, by the kernel's account.

use std::{fs, time::Duration};

use anyhow::{Context, Result};

/// Unit of the kernel's account: hundredths of a second (USER_HZ, which Linux fixes for /proc).
const TICK: Duration = Duration::from_millis(10);

/// Returns the CPU time of a process so far, user and system, over all its threads.
pub(crate) fn time(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let ticks = ticks(&stat).with_context(|| format!("/proc/{pid}/stat: {stat}"))?;
    Ok(TICK * ticks)
}

/// Returns the sum of utime and stime, the 14th and 15th field; the second is a name in parentheses
/// that may hold anything.
fn ticks(stat: &str) -> Option<u32> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 30 12 0 0 20 0 1 0 100 200 300";
        assert_eq!(ticks(stat), Some(42));
    }
}
