//! The only place of the broker that starts tasks and threads: each is owned, told to stop and
//! waited for. Knows nothing of what they do.

#![allow(clippy::disallowed_methods, reason = "this file alone starts tasks and threads")]

use std::future::Future;
use std::io;
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Everything that runs beside the code that started it.
#[derive(Debug, Default)]
pub struct Tasks {
    stopping: CancellationToken,
    tracker: TaskTracker,
    threads: Mutex<Vec<std::thread::JoinHandle<()>>>,
}

impl Tasks {
    pub fn new() -> Tasks {
        Tasks::default()
    }

    /// Cancelled when the broker stops: what loops must end then, by itself.
    pub fn stopping(&self) -> CancellationToken {
        self.stopping.clone()
    }

    /// Runs `future` until it ends; it is waited for by `stop`.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn(future);
    }

    /// Runs `future` until it ends or the broker stops, whichever is first.
    pub fn spawn_until_stop(&self, future: impl Future<Output = ()> + Send + 'static) {
        let stopping = self.stopping.clone();
        self.tracker.spawn(async move {
            tokio::select! {
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
        finished(self.tracker.spawn(work).await).await
    }

    /// Runs `work` on the runtime's pool of blocking threads and waits for what it gives.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        finished(self.tracker.spawn_blocking(work).await).await
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
