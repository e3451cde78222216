//! What tools print, and how they end. Knows nothing of clusters.

use std::io::Write;
use std::process::ExitCode;

/// Writes `text` to standard output; a reader that went away is not an error worth a word.
pub fn print(text: &str) -> ExitCode {
    match print_bytes(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Writes bytes to standard output at once.
pub fn print_bytes(bytes: &[u8]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// Runs a tool's work to its end on this thread.
pub fn block_on<F: Future>(work: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime needs only an epoll descriptor")
        .block_on(work)
}

/// Text padded on the right to `width` characters, as Java's `%-Ns`; line ends do not count.
pub fn left(text: impl ToString, width: usize) -> String {
    let text = text.to_string();
    let missing = width.saturating_sub(text.chars().filter(|c| *c != '\n').count());
    text + &" ".repeat(missing)
}

/// The first letter in upper case: brokers say `classic`, Kafka's tool shows `Classic`.
pub fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|c| c.to_ascii_uppercase().to_string() + chars.as_str()).unwrap_or_default()
}
