//! A file system of a few MiB, in a mount namespace that lives as long as its holder: nothing of it
//! is left behind. Knows nothing of what is stored there.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::places;
use crate::process::Process;

const LIMIT: Duration = Duration::from_secs(30);

pub struct SmallDisk {
    holder: Process,
    dir: TempDir,
}

impl SmallDisk {
    /// `None`, and why on standard error, where namespaces cannot be made.
    pub fn new(mib: u32) -> Option<SmallDisk> {
        if !places::is_root("a mount namespace") {
            return None;
        }
        let dir = tempfile::tempdir().expect("a temporary directory");
        let root = dir.path().join("small");
        std::fs::create_dir(&root).expect("a place to mount it at");
        let script = format!(
            "mount -t tmpfs -o size={mib}m small '{}' && echo mounted && exec sleep infinity",
            root.display()
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script]);
        let mut holder = Process::start("small-disk", dir.path(), &mut command);
        holder.ready(LIMIT, |p| p.stdout().contains("mounted").then_some(()));
        Some(SmallDisk { holder, dir })
    }

    /// Its path for processes that `enter`.
    pub fn root(&self) -> PathBuf {
        self.dir.path().join("small")
    }

    /// A command that runs `program` where the disk is mounted.
    pub fn enter(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--mount=/proc/{}/ns/mnt", self.holder.id()));
        command.arg(program);
        command
    }

    /// The same file as the test sees it.
    fn seen(&self, name: &str) -> PathBuf {
        let root = self.root();
        let inside = root.strip_prefix("/").expect("temporary directories are absolute");
        Path::new(&format!("/proc/{}/root", self.holder.id())).join(inside).join(name)
    }

    /// Leaves no byte of room.
    pub fn fill(&self) {
        let mut ballast = std::fs::File::create(self.seen("ballast")).expect("a file");
        for bytes in [1 << 20, 4096, 1] {
            while ballast.write_all(&vec![1; bytes]).is_ok() {}
        }
    }

    /// Makes room again.
    pub fn free(&self) {
        std::fs::remove_file(self.seen("ballast")).expect("the ballast");
    }
}
