//! A process that gets a twentieth of one processor, in a control group of its own (version 1).
//! Knows nothing of what it does.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const ROOT: &str = "/sys/fs/cgroup/cpu";
/// Microseconds of every `PERIOD_US` that it may run.
const QUOTA_US: u32 = 5_000;
const PERIOD_US: u32 = 100_000;

/// As long as this lives.
pub struct Starved {
    group: PathBuf,
    /// Where the process was before.
    home: PathBuf,
    process: u32,
}

impl Starved {
    /// `None` where there are no such groups, or they may not be made.
    pub fn new(process: u32) -> Option<Starved> {
        let home = home_of(process)?;
        let group = home.join(format!("ottla-{process}"));
        fs::create_dir(&group).ok()?;
        let starved = Starved { group, home, process };
        let starve = || -> io::Result<()> {
            fs::write(starved.group.join("cpu.cfs_period_us"), PERIOD_US.to_string())?;
            fs::write(starved.group.join("cpu.cfs_quota_us"), QUOTA_US.to_string())?;
            fs::write(starved.group.join("cgroup.procs"), process.to_string())
        };
        starve().ok()?;
        Some(starved)
    }
}

impl Drop for Starved {
    fn drop(&mut self) {
        // A process that has ended is in no group any more.
        let _ = fs::write(self.home.join("cgroup.procs"), self.process.to_string());
        let _ = fs::remove_dir(&self.group);
    }
}

/// The group that holds the process now.
fn home_of(process: u32) -> Option<PathBuf> {
    let groups = fs::read_to_string(format!("/proc/{process}/cgroup")).ok()?;
    let path = groups.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let controllers = parts.nth(1)?;
        controllers.split(',').any(|name| name == "cpu").then(|| parts.next())?
    })?;
    let home = Path::new(ROOT).join(path.trim_start_matches('/'));
    home.join("cgroup.procs").exists().then_some(home)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_goes_in_and_out_of_its_group() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let before = home_of(child.id());
        if let Some(starved) = Starved::new(child.id()) {
            let group = starved.group.clone();
            assert_eq!(home_of(child.id()), Some(group.clone()));
            drop(starved);
            assert_eq!(home_of(child.id()), before);
            assert!(!group.exists());
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
