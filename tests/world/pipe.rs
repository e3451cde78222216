//! One direction of a simulated connection: bytes in order, each with the time at which it arrives.
//! Knows nothing of who may reach whom; its network tells it.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::time::{Instant, Sleep};

/// Bytes on their way and not read before the writer must wait.
const WINDOW_BYTES: usize = 64 << 10;

/// How a direction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The writer sends no more.
    Closed,
    /// The connection is gone, with what was on its way.
    Reset,
}

#[derive(Default)]
pub struct Pipe {
    chunks: VecDeque<(Instant, Bytes)>,
    bytes: usize,
    end: Option<(Instant, End)>,
    /// The reader is gone; the writer learns of it then.
    unread: Option<Instant>,
    /// The way is cut: nothing arrives before it is mended.
    held: bool,
    /// The writer's computer went without a word, or the reader's did: nothing arrives any more.
    silent: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    timer: Option<Pin<Box<Sleep>>>,
    closing: Option<Pin<Box<Sleep>>>,
}

impl Pipe {
    /// When the last that was sent arrives.
    pub fn last(&self) -> Option<Instant> {
        self.chunks.back().map(|(at, _)| *at)
    }

    pub fn hold(&mut self, held: bool) {
        self.held = held;
        if !held {
            self.wake();
        }
    }

    pub fn fall_silent(&mut self) {
        self.silent = true;
    }

    fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }

    /// What of `bytes` fits. They arrive at `at`, or later behind those before them.
    pub fn write(&mut self, bytes: &[u8], at: Instant) -> io::Result<usize> {
        if self.is_broken() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let room = WINDOW_BYTES.saturating_sub(self.bytes).min(bytes.len());
        if room == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if self.unread.is_none() {
            let at = self.last().map_or(at, |last| last.max(at));
            self.chunks.push_back((at, Bytes::copy_from_slice(&bytes[..room])));
            self.bytes += room;
            if let Some(reader) = self.reader.take() {
                reader.wake();
            }
        }
        Ok(room)
    }

    fn is_broken(&self) -> bool {
        let gone = self.unread.is_some_and(|at| at <= Instant::now());
        gone || matches!(self.end, Some((_, End::Reset)))
    }

    pub fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_broken() || self.bytes < WINDOW_BYTES {
            return Poll::Ready(());
        }
        self.writer = Some(cx.waker().clone());
        match self.unread {
            Some(at) => arrives(&mut self.closing, at, cx),
            None => Poll::Pending,
        }
    }

    /// The bytes that are there; 0 when no more will come.
    pub fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.held || self.silent {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let now = Instant::now();
        if let Some((at, End::Reset)) = self.end
            && at <= now
        {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let mut count = 0;
        while count < into.len()
            && let Some((at, chunk)) = self.chunks.front_mut()
            && *at <= now
        {
            let part = chunk.split_to(chunk.len().min(into.len() - count));
            into[count..count + part.len()].copy_from_slice(&part);
            count += part.len();
            if chunk.is_empty() {
                self.chunks.pop_front();
            }
        }
        self.bytes -= count;
        if count > 0 {
            if let Some(writer) = self.writer.take() {
                writer.wake();
            }
            return Ok(count);
        }
        match self.end {
            Some((at, _)) if self.chunks.is_empty() && at <= now => Ok(0),
            _ => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    pub fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.reader = Some(cx.waker().clone());
        if self.held || self.silent {
            return Poll::Pending;
        }
        let reset = self.end.filter(|(_, end)| *end == End::Reset).map(|(at, _)| at);
        let next = self.chunks.front().map(|(at, _)| *at).or(self.end.map(|(at, _)| at));
        match next.into_iter().chain(reset).min() {
            Some(at) => arrives(&mut self.timer, at, cx),
            None => Poll::Pending,
        }
    }

    /// The writer closed its side; its reader learns of it at `at`, behind what was sent.
    pub fn close(&mut self, at: Instant) {
        if self.end.is_none() {
            self.end = Some((self.last().map_or(at, |last| last.max(at)), End::Closed));
            self.wake();
        }
    }

    /// The connection does not exist any more for one of its sides; the other learns of it.
    pub fn reset(&mut self, at: Instant) {
        self.silent = false;
        self.end = Some((at, End::Reset));
        self.wake();
    }

    /// The reader is gone; its writer learns of it at `at`.
    pub fn abandon(&mut self, at: Instant) {
        self.unread.get_or_insert(at);
        self.chunks.clear();
        self.bytes = 0;
        self.wake();
    }
}

fn arrives(timer: &mut Option<Pin<Box<Sleep>>>, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
    if at <= Instant::now() {
        return Poll::Ready(());
    }
    let sleep = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
    if sleep.deadline() != at {
        sleep.as_mut().reset(at);
    }
    sleep.as_mut().poll(cx)
}
