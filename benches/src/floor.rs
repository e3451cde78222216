//! The machine's floor: what receiving, checking, appending and sending a gigabyte costs one thread
//! in CPU seconds, with nothing else around it. `compare` is read against this.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::thread;

const GB: usize = 1_000_000_000;
const ROUNDS: usize = 3;

/// The table, best of three rounds each; a round that met write-back is not the floor.
pub fn markdown() -> String {
    let mut out = format!("| One thread, CPU seconds per GB, best of {ROUNDS} | |\n|---|---|\n");
    let mut show = |what: &str, work: &dyn Fn() -> f64| {
        let best = (0..ROUNDS).map(|_| work()).fold(f64::INFINITY, f64::min);
        writeln!(out, "| {what} | {best:.3} |").expect("a String takes everything");
    };
    show("receive from loopback", &receive);
    show("CRC-32C", &checksum);
    for kib in [4, 16, 64, 1024] {
        show(&format!("append by pwrite, {kib} KiB"), &|| append_pwrite(kib << 10));
        show(&format!("append by map, {kib} KiB"), &|| append_map(kib << 10));
    }
    show("sendfile to loopback", &send);
    out
}

/// CPU seconds of this thread so far.
pub fn cpu() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` outlives the call.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(result, 0, "every Linux has this clock");
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    let client = TcpStream::connect(address).expect("the listener listens");
    let (server, _) = listener.accept().expect("the client connected");
    (client, server)
}

fn receive() -> f64 {
    let (mut client, mut server) = pair();
    let sender = thread::spawn(move || {
        let block = vec![7; 1 << 20];
        let mut left = GB;
        while left > 0 {
            let n = left.min(block.len());
            client.write_all(&block[..n]).expect("the receiver reads");
            left -= n;
        }
    });
    let mut buffer = vec![0; 1 << 20];
    let start = cpu();
    while server.read(&mut buffer).expect("the sender writes") > 0 {}
    let used = cpu() - start;
    sender.join().expect("the sender ended");
    used
}

fn checksum() -> f64 {
    let block = vec![7; 1 << 20];
    let start = cpu();
    let mut all = 0;
    for _ in 0..GB >> 20 {
        all ^= crc32c::crc32c(std::hint::black_box(&block));
    }
    std::hint::black_box(all);
    cpu() - start
}

fn append_pwrite(bytes: usize) -> f64 {
    let file = tempfile::tempfile().expect("a temporary file");
    let block = vec![7; bytes];
    let start = cpu();
    let mut at = 0;
    while at < GB {
        file.write_all_at(&block, at as u64).expect("room on the disk");
        at += bytes;
    }
    cpu() - start
}

/// Windows of 8 MiB, allocated, mapped and populated ahead; that work counts.
fn append_map(bytes: usize) -> f64 {
    const WINDOW: usize = 8 << 20;
    let file = tempfile::tempfile().expect("a temporary file");
    let block = vec![7u8; bytes];
    let start = cpu();
    for window in 0..GB / WINDOW {
        let at = (window * WINDOW) as u64;
        // SAFETY: plain system call on an open file.
        let allocated = unsafe { libc::fallocate(file.as_raw_fd(), 0, at as i64, WINDOW as i64) };
        assert_eq!(allocated, 0, "a file system with fallocate");
        let mut options = memmap2::MmapOptions::new();
        let map = options.offset(at).len(WINDOW).map_raw(&file).expect("room for a map");
        map.advise(memmap2::Advice::PopulateWrite).expect("Linux 5.14 or newer");
        for slot in 0..WINDOW / bytes {
            // SAFETY: the window holds `WINDOW / bytes` blocks, and nobody else has it.
            unsafe { map.as_mut_ptr().add(slot * bytes).copy_from(block.as_ptr(), bytes) };
        }
    }
    cpu() - start
}

fn send() -> f64 {
    let file: File = tempfile::tempfile().expect("a temporary file");
    let block = vec![7; 1 << 20];
    for i in 0..256u64 {
        file.write_all_at(&block, i << 20).expect("room on the disk");
    }
    let (client, mut server) = pair();
    let receiver = thread::spawn(move || {
        let mut buffer = vec![0; 1 << 20];
        while server.read(&mut buffer).expect("the sender writes") > 0 {}
    });
    let start = cpu();
    let mut left = GB as i64;
    while left > 0 {
        let mut at = 0;
        // SAFETY: both descriptors are open, `at` outlives the call.
        let sent = unsafe {
            libc::sendfile(
                client.as_raw_fd(),
                file.as_raw_fd(),
                &mut at,
                left.min(1 << 20) as usize,
            )
        };
        assert!(sent > 0, "the receiver reads");
        left -= sent as i64;
    }
    let used = cpu() - start;
    drop(client);
    receiver.join().expect("the receiver ended");
    used
}
