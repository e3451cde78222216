//! The only place of the broker that starts tasks and threads: each is owned, told to stop and
//! waited for. Knows nothing of what they do.

#![allow(clippy::disallowed_methods, reason = "this file alone starts tasks and threads")]

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Who runs the tasks.
#[derive(Clone, Default)]
pub enum Runner {
    /// The runtime's workers, and its pool of threads for what blocks.
    #[default]
    Runtime,
    /// A simulation, in one thread: what blocks is done on the spot.
    Simulated(Arc<dyn Run>),
}

/// Runs tasks in a simulation.
pub trait Run: Send + Sync {
    fn run(&self, task: BoxFuture<'static, ()>);
}

/// Everything that runs beside the code that started it.
#[derive(Default)]
pub struct Tasks {
    runner: Runner,
    stopping: CancellationToken,
    tracker: TaskTracker,
    threads: Mutex<Vec<std::thread::JoinHandle<()>>>,
}

impl Tasks {
    pub fn new() -> Tasks {
        Tasks::default()
    }

    pub fn run_by(runner: Runner) -> Tasks {
        Tasks { runner, ..Tasks::default() }
    }

    /// Cancelled when the broker stops: what loops must end then, by itself.
    pub fn stopping(&self) -> CancellationToken {
        self.stopping.clone()
    }

    /// Runs `future` until it ends; it is waited for by `stop`.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        match &self.runner {
            Runner::Runtime => drop(self.tracker.spawn(future)),
            Runner::Simulated(other) => other.run(Box::pin(self.tracker.track_future(future))),
        }
    }

    /// Runs `future` until it ends or the broker stops, whichever is first.
    pub fn spawn_until_stop(&self, future: impl Future<Output = ()> + Send + 'static) {
        let stopping = self.stopping.clone();
        self.spawn(async move {
            tokio::select! {
                biased;
                () = stopping.cancelled() => {}
                () = future => {}
            }
        });
    }

    /// Runs `work` to its end even if the caller is dropped, and waits for what it gives.
    pub async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T {
        if let Runner::Runtime = self.runner {
            return finished(self.tracker.spawn(work).await).await;
        }
        let (done, result) = oneshot::channel();
        // Fails only if the caller is gone.
        self.spawn(async move { drop(done.send(work.await)) });
        match result.await {
            Ok(value) => value,
            // The simulated computer went down.
            Err(_) => std::future::pending().await,
        }
    }

    /// Runs `work` on the runtime's pool of blocking threads and waits for what it gives.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        match self.runner {
            Runner::Runtime => finished(self.tracker.spawn_blocking(work).await).await,
            Runner::Simulated(_) => work(),
        }
    }

    /// A thread of its own for work that blocks for long. `work` must end soon after `stopping()`
    /// is cancelled.
    pub fn spawn_thread(
        &self,
        name: &str,
        work: impl FnOnce(CancellationToken) + Send + 'static,
    ) -> io::Result<()> {
        let stopping = self.stopping.clone();
        let handle =
            std::thread::Builder::new().name(name.to_owned()).spawn(move || work(stopping))?;
        self.threads.lock().push(handle);
        Ok(())
    }

    /// Tells everything to stop and waits at most `patience`. False if something still runs then.
    pub async fn stop(&self, patience: Duration) -> bool {
        self.stopping.cancel();
        self.tracker.close();
        let threads = std::mem::take(&mut *self.threads.lock());
        if threads.is_empty() {
            return tokio::time::timeout(patience, self.tracker.wait()).await.is_ok();
        }
        let join = tokio::task::spawn_blocking(move || {
            for thread in threads {
                // A panic was already reported by the panic hook.
                let _ = thread.join();
            }
        });
        tokio::time::timeout(patience, async {
            self.tracker.wait().await;
            let _ = join.await;
        })
        .await
        .is_ok()
    }
}

async fn finished<T>(result: Result<T, tokio::task::JoinError>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is going down under us: nobody is left to take the value.
            Err(_) => std::future::pending().await,
        },
    }
}
