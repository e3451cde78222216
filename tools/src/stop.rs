//! Being asked to stop: SIGINT and SIGTERM. Knows nothing of what then ends.

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

/// Ends when the tool is asked to stop; with the exit code that a JVM has then.
pub async fn asked() -> ExitCode {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => ExitCode::from(130),
        _ = terminate.recv() => ExitCode::from(143),
    }
}
