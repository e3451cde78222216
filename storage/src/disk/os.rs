//! The operating system's files, through rustix. Knows nothing of logs.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::{FallocateFlags, OFlags};

use protocol::ids::TimestampMs;

use super::{DirEntry, Disk, DiskFile, OpenHow, PAGE_BYTES, ReadMap, Space, Stat, Window};

/// What may be used; all of it is probed and falls back.
#[derive(Debug, Clone, Copy)]
pub struct OsDiskOptions {
    /// Preallocate and map the end of active segments, and map indexes. Default on.
    pub map: bool,
    /// Tell a new mount of a file system by its unique id. Default on; without it only a new boot
    /// of the machine is told.
    pub mount_id: bool,
}

impl Default for OsDiskOptions {
    fn default() -> Self {
        Self { map: true, mount_id: true }
    }
}

/// The real file system.
#[derive(Debug)]
pub struct OsDisk {
    /// Shared with the files: cleared when a kernel or a file system refuses.
    map: Arc<AtomicBool>,
    mount_id: bool,
}

/// Changes with every boot.
const BOOT_ID_PATH: &str = "/proc/sys/kernel/random/boot_id";

impl OsDisk {
    pub fn new(options: OsDiskOptions) -> Self {
        let map = Arc::new(AtomicBool::new(options.map));
        Self { map, mount_id: options.mount_id }
    }
}

impl Default for OsDisk {
    fn default() -> Self {
        Self::new(OsDiskOptions::default())
    }
}

impl Disk for OsDisk {
    fn open(&self, path: &Path, how: OpenHow) -> io::Result<Arc<dyn DiskFile>> {
        let flags = OFlags::CLOEXEC
            | match how {
                OpenHow::Read => OFlags::RDONLY,
                OpenHow::Write => OFlags::RDWR,
                OpenHow::Create => OFlags::RDWR | OFlags::CREATE,
                OpenHow::CreateNew => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
            };
        let fd = rustix::fs::open(path, flags, rustix::fs::Mode::from_raw_mode(0o644))?;
        Ok(Arc::new(OsFile { file: File::from(fd), map: self.map.clone() }))
    }

    fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        match std::fs::metadata(path) {
            Ok(m) => Ok(Some(Stat {
                len: m.len(),
                modified_ms: m.mtime() * 1000 + m.mtime_nsec() / 1_000_000,
                is_dir: m.is_dir(),
            })),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            let is_dir = if kind.is_symlink() { entry.path().is_dir() } else { kind.is_dir() };
            let name = entry.file_name().to_string_lossy().into_owned();
            entries.push(DirEntry { name, is_dir });
        }
        Ok(entries)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        std::fs::create_dir_all(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_dir(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Send + Sync>>> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, rustix::fs::Mode::from_raw_mode(0o644))?;
        let whole_file = libc::flock {
            l_type: libc::F_WRLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        // SAFETY: the descriptor is open and the struct outlives the call.
        let answer = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETLK, &whole_file) };
        if answer == 0 {
            return Ok(Some(Box::new(fd)));
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EACCES) | Some(libc::EAGAIN) => Ok(None),
            _ => Err(error),
        }
    }

    fn can_map(&self) -> bool {
        self.map.load(Ordering::Relaxed)
    }

    fn witness(&self, dir: &Path) -> io::Result<Option<String>> {
        let Ok(boot) = std::fs::read_to_string(BOOT_ID_PATH) else { return Ok(None) };
        let boot = boot.trim();
        if boot.is_empty() {
            return Ok(None);
        }
        if !self.mount_id {
            return Ok(Some(format!("boot {boot}")));
        }
        let mount = unique_mount_id(dir)?;
        Ok(mount.map(|mount| format!("boot {boot} mount {mount}")))
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        std::fs::canonicalize(path)
    }

    fn space(&self, dir: &Path) -> io::Result<Space> {
        let sizes = rustix::fs::statvfs(dir)?;
        let bytes = |blocks: u64| blocks.saturating_mul(sizes.f_frsize);
        Ok(Space { total: bytes(sizes.f_blocks), usable: bytes(sizes.f_bavail) })
    }
}

/// The id of the mount that `dir` is on, which no later mount gets; `None` before Linux 6.8.
fn unique_mount_id(dir: &Path) -> io::Result<Option<u64>> {
    // Not in every C library's headers yet.
    const STATX_MNT_ID_UNIQUE: libc::c_uint = 0x4000;
    let path = std::ffi::CString::new(dir.as_os_str().as_bytes())?;
    // SAFETY: all zeros is a valid value of this plain struct.
    let mut stat: libc::statx = unsafe { std::mem::zeroed() };
    // SAFETY: the path ends in a zero byte and the struct outlives the call.
    let answer =
        unsafe { libc::statx(libc::AT_FDCWD, path.as_ptr(), 0, STATX_MNT_ID_UNIQUE, &mut stat) };
    if answer != 0 {
        let error = io::Error::last_os_error();
        let unknown = matches!(error.raw_os_error(), Some(libc::ENOSYS) | Some(libc::EINVAL));
        return if unknown { Ok(None) } else { Err(error) };
    }
    Ok((stat.stx_mask & STATX_MNT_ID_UNIQUE != 0).then_some(stat.stx_mnt_id))
}

#[derive(Debug)]
struct OsFile {
    file: File,
    map: Arc<AtomicBool>,
}

impl OsFile {
    fn refuse_maps(&self, error: io::Error) -> io::Error {
        let unsupported = matches!(
            error.raw_os_error(),
            Some(libc::EOPNOTSUPP) | Some(libc::ENOSYS) | Some(libc::EINVAL) | Some(libc::ENODEV)
        );
        if !unsupported {
            return error;
        }
        if self.map.swap(false, Ordering::Relaxed) {
            tracing::info!(%error, "mapped appends are not possible here; using pwrite");
        }
        io::Error::new(io::ErrorKind::Unsupported, error)
    }
}

impl DiskFile for OsFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            match self.file.read_at(&mut buf[done..], at + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    fn write_at(&self, parts: &[&[u8]], at: u64) -> io::Result<()> {
        let total: usize = parts.iter().map(|p| p.len()).sum();
        let slices: Vec<io::IoSlice<'_>> = parts.iter().map(|p| io::IoSlice::new(p)).collect();
        let written = loop {
            match rustix::io::pwritev(&self.file, &slices, at) {
                Ok(n) => break n,
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        };
        if written == total {
            return Ok(());
        }
        // A short write: what remains goes part by part, so that its error is seen.
        let (mut skip, mut at) = (written, at + written as u64);
        for part in parts {
            let rest = &part[skip.min(part.len())..];
            skip = skip.saturating_sub(part.len());
            self.file.write_all_at(rest, at)?;
            at += rest.len() as u64;
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn begin_writing(&self) -> io::Result<()> {
        // SAFETY: the descriptor is open; no memory is given. Where the system cannot, `sync` does.
        unsafe { libc::sync_file_range(self.file.as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE) };
        Ok(())
    }

    fn allocate(&self, range: Range<u64>) -> io::Result<()> {
        let len = range.end - range.start;
        loop {
            match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), range.start, len) {
                Ok(()) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(self.refuse_maps(e.into())),
            }
        }
    }

    fn map(&self, range: Range<u64>) -> io::Result<Box<dyn Window>> {
        assert!(
            range.start.is_multiple_of(PAGE_BYTES) && range.start < range.end,
            "windows are pages"
        );
        let len = (range.end - range.start) as usize;
        let map = MmapOptions::new().offset(range.start).len(len).map_raw(&self.file)?;
        // SAFETY: the range is the map that was just made; populating changes no byte.
        let answer =
            unsafe { libc::madvise(map.as_mut_ptr().cast(), len, libc::MADV_POPULATE_WRITE) };
        if answer != 0 {
            return Err(self.refuse_maps(io::Error::last_os_error()));
        }
        Ok(Box::new(OsWindow { map, range }))
    }

    fn read_map(&self, len: u64) -> io::Result<Box<dyn ReadMap>> {
        if !self.map.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        if len > self.len()? {
            // A load from there would be a SIGBUS.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let map = MmapOptions::new().len(len as usize).map_raw_read_only(&self.file)?;
        let (start, bytes) = (map.as_mut_ptr(), map.len());
        // SAFETY: the range is the map that was just made; populating changes no byte.
        let answer = unsafe { libc::madvise(start.cast(), bytes, libc::MADV_POPULATE_READ) };
        if answer != 0 {
            return Err(self.refuse_maps(io::Error::last_os_error()));
        }
        Ok(Box::new(OsReadMap { map }))
    }

    fn set_modified(&self, modified_ms: TimestampMs) -> io::Result<()> {
        let since = std::time::Duration::from_millis(modified_ms.max(0) as u64);
        self.file.set_modified(std::time::UNIX_EPOCH + since)
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.file.as_fd())
    }
}

#[derive(Debug)]
struct OsReadMap {
    map: MmapRaw,
}

impl ReadMap for OsReadMap {
    fn load(&self, at: u64, into: &mut [u8]) {
        let end = at + into.len() as u64;
        assert!(end <= self.map.len() as u64, "a load inside the map");
        // SAFETY: the assertion keeps the load inside the map, `into` cannot overlap it (no
        // reference to mapped bytes exists), and the file is not truncated while it is mapped.
        unsafe {
            let from = self.map.as_ptr().add(at as usize);
            std::ptr::copy_nonoverlapping(from, into.as_mut_ptr(), into.len());
        }
    }
}

#[derive(Debug)]
struct OsWindow {
    map: MmapRaw,
    range: Range<u64>,
}

impl Window for OsWindow {
    fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    fn store(&mut self, at: u64, bytes: &[u8]) {
        let end = at + bytes.len() as u64;
        assert!(at >= self.range.start && end <= self.range.end, "a store inside the window");
        let offset = (at - self.range.start) as usize;
        // SAFETY: the assertion keeps the store inside the map, `bytes` cannot overlap it (no
        // reference to mapped bytes exists), and the file is not truncated while it is mapped.
        unsafe {
            std::ptr::copy_nonoverlapping(
                bytes.as_ptr(),
                self.map.as_mut_ptr().add(offset),
                bytes.len(),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_and_writes_show_one_file() {
        let dir = tempfile::tempdir().unwrap();
        let disk = OsDisk::default();
        let path = dir.path().join("f");
        let file = disk.open(&path, OpenHow::Create).unwrap();
        file.write_at(&[b"ab", b"cd"], 0).unwrap();
        match file.allocate(0..8192).and_then(|()| file.map(4096..8192)) {
            Ok(mut window) => window.store(4096, b"mapped"),
            Err(e) => {
                assert_eq!(e.kind(), io::ErrorKind::Unsupported);
                assert!(!disk.can_map());
                return;
            }
        }
        let mut bytes = [0; 8];
        assert_eq!(file.read_at(&mut bytes, 4096).unwrap(), 8);
        assert_eq!(&bytes, b"mapped\0\0");
        assert_eq!(file.read_at(&mut bytes, 8188).unwrap(), 4);
        assert_eq!(disk.stat(&path).unwrap().unwrap().len, 8192);
    }

    #[test]
    fn lock_is_seen_by_a_child_process_only_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".lock");
        let disk = OsDisk::default();
        let held = disk.lock(&path).unwrap();
        assert!(held.is_some());
        let probe = std::process::Command::new("python3")
            .args(["-c", "import fcntl,sys\nf=open(sys.argv[1],'r+')\nfcntl.lockf(f,6)"])
            .arg(&path)
            .output();
        if let Ok(output) = probe {
            assert!(!output.status.success(), "the lock must keep others out");
        }
    }
}
