//! What a process has cost so far, from `/proc`: CPU seconds and resident memory.

use std::fs;

/// A process and its children (ours has a guard).
fn family(id: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    let mut all = vec![id];
    for task in tasks {
        let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        all.extend(children.split_whitespace().filter_map(|c| c.parse::<u32>().ok()));
    }
    all
}

/// utime + stime, in seconds, of the process and its children.
pub fn cpu_seconds(id: u32) -> f64 {
    // SAFETY: sysconf has no preconditions.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64;
    let of = |id: u32| -> f64 {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        // The name may hold spaces: count after its closing parenthesis.
        let after = stat.rsplit_once(") ").map(|(_, rest)| rest).unwrap_or_default();
        let field = |n: usize| after.split(' ').nth(n).and_then(|f| f.parse::<f64>().ok());
        field(11).unwrap_or(0.0) + field(12).unwrap_or(0.0)
    };
    family(id).into_iter().map(of).sum::<f64>() / ticks
}

/// RssAnon + RssShmem, in MiB, of the process and its children: page cache aside.
pub fn memory_mib(id: u32) -> f64 {
    let of = |id: u32| -> f64 {
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let wanted =
            status.lines().filter(|l| l.starts_with("RssAnon") || l.starts_with("RssShmem"));
        wanted.filter_map(|l| l.split_whitespace().nth(1)?.parse::<f64>().ok()).sum()
    };
    family(id).into_iter().map(of).sum::<f64>() / 1024.0
}
