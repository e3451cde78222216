//! Answers with parts of files: every byte arrives as it is on disk, whether the pages are cached
//! or not, and a file that became shorter ends the connection instead of shifting what follows.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use broker::network::outbox::{self, Flush, Outbox};
use broker::network::payload::FilePayload;
use broker::network::residency::Residency;
use broker::network::socket::Socket;
use bytes::Bytes;
use protocol::wire::{Records, Rope, Writer};
use storage::LogSlice;
use storage::disk::{Disk, DiskFile, OpenHow, OsDisk};
use tokio::net::TcpListener;

const FILE_BYTES: usize = 5 << 20;

fn pattern() -> Vec<u8> {
    (0..FILE_BYTES as u32).flat_map(|n| (n.wrapping_mul(2_654_435_761)).to_be_bytes()).collect()
}

fn file(path: &Path) -> Arc<dyn DiskFile> {
    std::fs::write(path, &pattern()[..FILE_BYTES]).expect("written");
    OsDisk::default().open(path, OpenHow::Read).expect("opened")
}

fn slice(file: &Arc<dyn DiskFile>, position: u64, len: u64) -> LogSlice {
    LogSlice::of_file(file.clone(), position, len)
}

/// Memory, a file in two parts, memory, another part.
fn rope(file: &Arc<dyn DiskFile>) -> (Rope, Vec<u8>) {
    let whole = pattern();
    let first = FilePayload::new(vec![slice(file, 100, 3_000_000), slice(file, 0, 1)]);
    let second = FilePayload::new(vec![slice(file, 7, 0), slice(file, 4_000_000, 12_345)]);
    let mut writer = Writer::new();
    writer.raw(b"head");
    writer.records(&Records::Payload(Arc::new(first)));
    writer.raw(b"middle");
    writer.records(&Records::Bytes(Bytes::from(vec![9; 70_000])));
    writer.records(&Records::Payload(Arc::new(second)));
    let expected = [
        b"head",
        &whole[100..3_000_100],
        &whole[..1],
        b"middle",
        &[9; 70_000][..],
        &whole[4_000_000..4_012_345],
    ]
    .concat();
    (writer.finish().expect("small"), expected)
}

async fn pair() -> (Socket, std::net::TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let reader =
        std::net::TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
    let (writer, _) = listener.accept().await.expect("accepted");
    (Socket::Tcp(writer), reader)
}

/// Sends all of it; counts how often the disk had to be waited for.
async fn send(outbox: &mut Outbox, stream: &Socket, residency: Residency) -> io::Result<usize> {
    let mut cold = 0;
    loop {
        match outbox.flush(stream, &residency)? {
            Flush::Empty => return Ok(cold),
            Flush::Blocked => stream.writable().await,
            Flush::Yield => tokio::task::yield_now().await,
            Flush::Cold(slice) => {
                cold += 1;
                match outbox::warm(&slice, residency.dontcache)? {
                    None => outbox.warmed(&slice),
                    Some(bytes) => outbox.replace_cold(bytes),
                }
            }
        }
    }
}

async fn arrives(file: &Arc<dyn DiskFile>, residency: Residency) -> usize {
    let (stream, mut reader) = pair().await;
    let (rope, expected) = rope(file);
    let read = std::thread::spawn(move || {
        let mut all = Vec::new();
        reader.read_to_end(&mut all).expect("all of it");
        all
    });
    let mut outbox = Outbox::default();
    outbox.push(rope).expect("file payloads");
    assert_eq!(outbox.bytes(), expected.len() as u64);
    let cold = send(&mut outbox, &stream, residency).await.expect("sent");
    assert!(outbox.is_empty() && outbox.bytes() == 0);
    drop(stream);
    assert!(read.join().expect("the reader") == expected, "other bytes than those on disk");
    cold
}

#[tokio::test]
async fn parts_of_files_arrive_byte_by_byte() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = file(&directory.path().join("log"));
    let residency = Residency::probe(&[]);
    assert_eq!(arrives(&file, residency).await, 0, "what was just written needs no disk");
    // Where nobody can tell, every slice is read off the worker first.
    let blind = Residency { cachestat: false, nowait: false, ..residency };
    assert_eq!(arrives(&file, blind).await, 5);
}

/// An answer of many partitions: small slices go out with what is between them, in order, and as
/// much of them is in memory as may be and no more.
#[tokio::test]
async fn small_parts_of_files_arrive_in_order() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = file(&directory.path().join("log"));
    let whole = pattern();
    let mut writer = Writer::new();
    let mut expected = vec![];
    for number in 0..1_000 {
        let (position, len) = (number * 4_999, (number * 37) % 9_000);
        writer.raw(b"between");
        let payload = FilePayload::new(vec![slice(&file, position as u64, len as u64)]);
        writer.records(&Records::Payload(Arc::new(payload)));
        expected.extend_from_slice(b"between");
        expected.extend_from_slice(&whole[position..position + len]);
    }
    let (stream, mut reader) = pair().await;
    let read = std::thread::spawn(move || {
        let mut all = Vec::new();
        reader.read_to_end(&mut all).expect("all of it");
        all
    });
    let mut outbox = Outbox::default();
    outbox.push(writer.finish().expect("small")).expect("file payloads");
    let between = outbox.memory();
    let residency = Residency::probe(&[]);
    loop {
        match outbox.flush(&stream, &residency).expect("sent") {
            Flush::Empty => break,
            Flush::Blocked => stream.writable().await,
            Flush::Yield => tokio::task::yield_now().await,
            Flush::Cold(slice) => panic!("{slice:?} was just written"),
        }
        assert!(outbox.memory() <= between + (64 << 10), "{} in memory", outbox.memory());
    }
    drop(stream);
    assert!(read.join().expect("the reader") == expected, "other bytes than those on disk");
}

#[tokio::test]
async fn cold_ranges_are_seen_and_arrive_too() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let path = directory.path().join("log");
    let file = file(&path);
    let opened = File::open(&path).expect("opened");
    let probed = Residency::probe(&[]);
    for residency in [probed, Residency { cachestat: false, ..probed }] {
        opened.sync_all().expect("synced");
        rustix::fs::fadvise(opened.as_fd(), 0, None, rustix::fs::Advice::DontNeed).expect("told");
        let dropped = !probed.is_resident(opened.as_fd(), 100, 1 << 20);
        let cold = arrives(&file, residency).await;
        // Some file systems keep their pages whatever they are told.
        assert!(cold > 0 || !dropped, "a cold range was taken for a cached one");
    }
}

#[tokio::test]
async fn a_file_that_became_shorter_ends_the_connection() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("log");
    let file = file(&path);
    let (stream, mut reader) = pair().await;
    let (rope, expected) = rope(&file);
    File::options().write(true).open(&path).and_then(|f| f.set_len(1_000_000)).expect("cut");
    let read = std::thread::spawn(move || {
        let mut all = Vec::new();
        reader.read_to_end(&mut all).map(|_| all)
    });
    let mut outbox = Outbox::default();
    outbox.push(rope).expect("file payloads");
    let error = send(&mut outbox, &stream, Residency::probe(&[])).await.expect_err("cut");
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    drop(stream);
    let arrived = read.join().expect("the reader").unwrap_or_default();
    assert!(arrived.len() < expected.len() && expected.starts_with(&arrived));
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_nothing_but_its_own_answer() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = file(&directory.path().join("log"));
    let (stream, _reader) = pair().await;
    let mut outbox = Outbox::default();
    // 200 MB of answers are waiting, but in the file, not in memory.
    for _ in 0..50 {
        let payload = FilePayload::new(vec![slice(&file, 0, 4 << 20)]);
        let mut writer = Writer::new();
        writer.records(&Records::Payload(Arc::new(payload)));
        outbox.push(writer.finish().expect("small")).expect("a file payload");
    }
    loop {
        match outbox.flush(&stream, &Residency::probe(&[])).expect("no error") {
            Flush::Blocked => break,
            Flush::Empty => panic!("the kernel has no room for 200 MB"),
            Flush::Yield => {}
            Flush::Cold(slice) => {
                assert!(outbox::warm(&slice, false).expect("read").is_none());
                outbox.warmed(&slice);
            }
        }
    }
    assert!(outbox.bytes() > 100 << 20);
}
