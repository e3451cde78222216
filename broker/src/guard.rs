//! The broker's side of the session guard: a small process of its own that ends the ZooKeeper
//! session when the broker is gone, so that the others need not wait for the session's timeout.
//! Knows nothing of ZooKeeper's protocol.
//!
//! The guard gets every session's credentials through a pipe, and never by argument, environment or
//! file. It connects to nobody while the broker lives. A broker that stops in order dismisses it
//! first; one that ends otherwise is gone for its guard as soon as the kernel says so.

pub mod process;

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use metadata::store::{Credentials, MetadataStore, StoreEvent};
use metadata::zookeeper::ConnectString;
use rustix::fs::OFlags;
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};
use serde::{Deserialize, Serialize};
use tokio::io::unix::AsyncFd;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::tasks::Tasks;

/// The subcommand that the guard is started with; its argument is the broker's process id.
pub const SUBCOMMAND: &str = "guard";

/// Its second argument where the kernel's process descriptors are not to be used.
pub const WITHOUT_PIDFD: &str = "without-pidfd";

/// How often a process is looked for where it has no descriptor.
const LOOK: Duration = Duration::from_millis(50);
/// Pause before a guard that ended is replaced.
const RESTART_WAIT: Duration = Duration::from_secs(1);
/// How long a dismissed guard may take to end.
const DISMISS_WAIT: Duration = Duration::from_secs(1);

/// One line of JSON in the pipe. It is read by the same binary that wrote it.
#[derive(Serialize, Deserialize)]
enum Order {
    /// End this session, and no other, once the broker is gone.
    Session { connect: String, session_id: i64, password: Vec<u8>, timeout_ms: u64 },
    /// Nothing is left to guard.
    Dismissed,
}

/// A guard that was started and knows no session yet.
pub struct GuardProcess {
    child: Child,
    pipe: ChildStdin,
    /// `None`: it is looked for instead (`ottla.io.disable=pidfd`, or Linux before 5.3).
    ended: Option<AsyncFd<OwnedFd>>,
}

impl GuardProcess {
    /// Starts this binary once more. Of the broker's descriptors it inherits none but the pipe's
    /// end: all others are closed by the exec, and its outputs lead nowhere. Within a tokio
    /// runtime.
    pub fn start(pidfd: bool) -> io::Result<GuardProcess> {
        let mut command = Command::new("/proc/self/exe");
        command.arg0("ottla").arg(SUBCOMMAND).arg(std::process::id().to_string());
        if !pidfd {
            command.arg(WITHOUT_PIDFD);
        }
        // A group of its own: what a terminal sends to the broker's group is not for the guard.
        command.current_dir("/").process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let pipe = child.stdin.take().expect("it was asked for");
        // A guard that does not read must not hold up the broker.
        rustix::fs::fcntl_setfl(&pipe, OFlags::NONBLOCK)?;
        let pidfd = pidfd.then(|| pidfd_open(Pid::from_child(&child), PidfdFlags::empty()));
        let ended = pidfd.and_then(Result::ok).map(readable_at_end).transpose()?;
        Ok(GuardProcess { child, pipe, ended })
    }

    fn tell(&mut self, order: &Order) -> io::Result<()> {
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        self.pipe.write_all(&line)
    }

    async fn ended(&self) {
        // An error would mean that nobody can tell any more: then it counts as ended.
        if let Some(ended) = &self.ended {
            let _ = ended.readable().await;
            return;
        }
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        while let Ok(None) = waitid(WaitId::Pid(Pid::from_child(&self.child)), options) {
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn dismiss(mut self) {
        let told = self.tell(&Order::Dismissed);
        if told.is_err() || tokio::time::timeout(DISMISS_WAIT, self.ended()).await.is_err() {
            self.kill();
        }
        self.reap();
    }

    fn kill(&mut self) {
        if let Err(error) = self.child.kill() {
            tracing::warn!(%error, "the session guard cannot be ended");
        }
    }

    fn reap(mut self) {
        // It has ended, so this does not wait.
        if let Err(error) = self.child.wait() {
            tracing::warn!(%error, "the session guard cannot be waited for");
        }
    }
}

/// Keeps a guard informed and alive.
pub struct Guard {
    stop: CancellationToken,
    stopped: CancellationToken,
}

impl Guard {
    /// From now on `process` is told every session of `store`; if it ends, another takes its place.
    /// To be called before the store's driver runs.
    pub fn keep(
        process: GuardProcess,
        store: Arc<dyn MetadataStore>,
        connect: &ConnectString,
        tasks: &Tasks,
    ) -> Guard {
        let guard = Guard { stop: CancellationToken::new(), stopped: CancellationToken::new() };
        let keeper = Keeper {
            connect: connect.to_string(),
            events: store.subscribe(),
            store,
            pidfd: process.ended.is_some(),
            stop: guard.stop.clone(),
        };
        let stopped = guard.stopped.clone();
        tasks.spawn(async move {
            keeper.run(process).await;
            stopped.cancel();
        });
        guard
    }

    /// Sends the guard home; returns when it is gone. To be called before the session is closed.
    pub async fn dismiss(self) {
        self.stop.cancel();
        self.stopped.cancelled().await;
    }
}

/// A process's descriptor, which is readable once the process has ended. Within a tokio runtime.
fn readable_at_end(pidfd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an owned descriptor is open, and the same, for as long as it is owned.
    Ok(unsafe { AsyncFd::register(pidfd) }?)
}

struct Keeper {
    connect: String,
    store: Arc<dyn MetadataStore>,
    events: Receiver<StoreEvent>,
    pidfd: bool,
    stop: CancellationToken,
}

enum Next {
    Dismiss,
    Replace,
}

impl Keeper {
    async fn run(mut self, mut process: GuardProcess) {
        loop {
            match self.inform(&mut process).await {
                Next::Dismiss => return process.dismiss().await,
                Next::Replace => {
                    process.kill();
                    process.reap();
                }
            }
            tracing::warn!("the session guard ended; another one takes its place");
            process = loop {
                tokio::select! {
                    () = self.stop.cancelled() => return,
                    () = tokio::time::sleep(RESTART_WAIT) => {}
                }
                match GuardProcess::start(self.pidfd) {
                    Ok(process) => break process,
                    Err(error) => tracing::warn!(%error, "no session guard"),
                }
            };
        }
    }

    /// Until this guard is not needed, or is gone.
    async fn inform(&mut self, process: &mut GuardProcess) -> Next {
        loop {
            if let Some(credentials) = self.store.credentials()
                && let Err(error) = process.tell(&self.session(&credentials))
            {
                tracing::warn!(%error, "the session guard does not listen");
                return Next::Replace;
            }
            // Only a session that is new makes it worth telling again.
            loop {
                tokio::select! {
                    () = self.stop.cancelled() => return Next::Dismiss,
                    () = process.ended() => return Next::Replace,
                    event = self.events.recv() => match event {
                        Ok(StoreEvent::SessionStarted { .. }) | Err(RecvError::Lagged(_)) => break,
                        Ok(_) => {}
                        Err(RecvError::Closed) => return Next::Dismiss,
                    },
                }
            }
        }
    }

    fn session(&self, credentials: &Credentials) -> Order {
        Order::Session {
            connect: self.connect.clone(),
            session_id: credentials.session_id,
            password: credentials.expose_password().to_vec(),
            timeout_ms: self.store.lease().map_or(0, |lease| lease.timeout_ms),
        }
    }
}
