//! Is a range of a file in the page cache? A send from there never waits for the disk. Knows
//! nothing of what the file is.

use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::{Errno, ReadWriteFlags, preadv2};

/// How this kernel lets us ask; probed once at the start, each way can be turned off.
#[derive(Debug, Clone, Copy)]
pub struct Residency {
    /// Linux 6.5: counts a range's cached pages in one call.
    pub cachestat: bool,
    /// Linux 4.14: a read that fails rather than waits.
    pub nowait: bool,
    /// Linux 6.14: a read that leaves no page behind that was not there before. What a file system
    /// does not know is noticed with the first read of it.
    pub dontcache: bool,
}

/// `SYS_cachestat`, the same on every architecture; libc names it only on some.
const CACHESTAT: libc::c_long = 451;
const PAGE_BYTES: u64 = 4096;
/// `RWF_DONTCACHE`, which has no name there yet.
const DONTCACHE: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x80);
/// Without cachestat one byte in so many is asked for: read-ahead brings pages in runs.
const SAMPLE_BYTES: u64 = 64 << 10;

impl Residency {
    /// What works here, less what `disabled` names (`ottla.io.disable`).
    pub fn probe(disabled: &[String]) -> Residency {
        let allowed = |name: &str| !disabled.iter().any(|item| item == name);
        // A bad descriptor tells "no such call" apart from "no such file".
        let known = cached_pages(-1, 0, 1) != Err(Errno::NOSYS);
        Residency {
            cachestat: allowed("cachestat") && known,
            nowait: allowed("nowait"),
            dontcache: allowed("dontcache"),
        }
    }

    /// False also when nobody can tell: the caller then reads off the worker.
    pub fn is_resident(&self, file: BorrowedFd<'_>, position: u64, bytes: u64) -> bool {
        if bytes == 0 {
            return true;
        }
        if self.cachestat
            && let Ok(cached) = all_cached(file, position, bytes)
        {
            // Linux counts too few when another task takes the processor in the middle of a count
            // (seen on 6.18, of ranges that begin within a large folio).
            return cached || all_cached(file, position, bytes) == Ok(true);
        }
        self.nowait && self.samples_are_resident(file, position, bytes)
    }

    /// The bytes, all of them, if they are in the page cache and the kernel can read them without
    /// waiting for the disk.
    pub fn read(&self, file: BorrowedFd<'_>, position: u64, bytes: usize) -> Option<Vec<u8>> {
        if !self.nowait {
            return None;
        }
        let mut buffer = vec![0; bytes];
        let mut whole = [IoSliceMut::new(&mut buffer)];
        let read = preadv2(file, &mut whole, position, ReadWriteFlags::NOWAIT);
        (read == Ok(bytes)).then_some(buffer)
    }

    fn samples_are_resident(&self, file: BorrowedFd<'_>, position: u64, bytes: u64) -> bool {
        let end = position + bytes - 1;
        let mut at = position;
        loop {
            let mut byte = [0];
            let read = preadv2(file, &mut [IoSliceMut::new(&mut byte)], at, ReadWriteFlags::NOWAIT);
            if read != Ok(1) {
                return false;
            }
            if at == end {
                return true;
            }
            at = (at + SAMPLE_BYTES).min(end);
        }
    }
}

/// Reads until `buffer` is full or the file ends, without filling the page cache: a consumer far
/// behind then takes no page from those that read the end. `Unsupported`: read it another way.
pub fn read_past_the_cache(
    file: BorrowedFd<'_>,
    buffer: &mut [u8],
    position: u64,
) -> std::io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        let mut rest = [IoSliceMut::new(&mut buffer[done..])];
        match preadv2(file, &mut rest, position + done as u64, DONTCACHE) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(Errno::INTR) => {}
            Err(Errno::OPNOTSUPP | Errno::INVAL) => {
                return Err(std::io::ErrorKind::Unsupported.into());
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(done)
}

fn all_cached(file: BorrowedFd<'_>, position: u64, bytes: u64) -> Result<bool, Errno> {
    let first = position / PAGE_BYTES;
    let last = (position + bytes - 1) / PAGE_BYTES;
    cached_pages(file.as_raw_fd(), position, bytes).map(|cached| cached > last - first)
}

fn cached_pages(fd: libc::c_int, position: u64, bytes: u64) -> Result<u64, Errno> {
    let range = [position, bytes];
    let mut counts = [0u64; 5];
    // SAFETY: the kernel reads two and writes five 64-bit words, as `struct cachestat_range` and
    // `struct cachestat` are laid out; both arrays live through the call.
    let result = unsafe {
        libc::syscall(CACHESTAT, fd, range.as_ptr(), counts.as_mut_ptr(), 0 as libc::c_uint)
    };
    if result == 0 {
        return Ok(counts[0]);
    }
    let error = std::io::Error::last_os_error();
    Err(Errno::from_io_error(&error).unwrap_or(Errno::INVAL))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn what_was_just_written_is_resident_in_every_way_of_asking() {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&vec![7; 300_000]).expect("written");
        let all = Residency::probe(&[]);
        for residency in [
            all,
            Residency { cachestat: false, ..all },
            Residency { cachestat: false, nowait: false, ..all },
        ] {
            let knows = residency.cachestat || residency.nowait;
            assert_eq!(residency.is_resident(file.as_fd(), 5000, 250_000), knows, "{residency:?}");
            let read = residency.read(file.as_fd(), 5000, 6000);
            assert_eq!(read, residency.nowait.then(|| vec![7; 6000]), "{residency:?}");
        }
        let disabled = Residency::probe(&["cachestat".to_owned(), "nowait".to_owned()]);
        assert!(!disabled.cachestat && !disabled.nowait);
    }

    #[test]
    fn a_read_past_the_cache_reads_the_same_or_says_that_it_cannot() {
        let mut file = tempfile::tempfile().expect("a file");
        let written: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
        file.write_all(&written).expect("written");
        file.sync_all().expect("synced");
        let mut buffer = vec![0; 200_000];
        match read_past_the_cache(file.as_fd(), &mut buffer, 150_000) {
            Ok(read) => assert_eq!(buffer[..read], written[150_000..]),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::Unsupported),
        }
        assert!(!Residency::probe(&["dontcache".to_owned()]).dontcache);
    }

    #[test]
    fn a_range_beyond_the_end_is_not_resident() {
        let file = tempfile::tempfile().expect("a file");
        assert!(!Residency::probe(&[]).is_resident(file.as_fd(), 0, 4096));
        assert_eq!(Residency::probe(&[]).read(file.as_fd(), 0, 1), None);
    }
}
