//! The guard itself, `ottla guard PID`: reads sessions from its standard input until the broker is
//! gone, then ends the last one. Prints nothing and opens nothing before that.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use metadata::store::Credentials;
use metadata::zookeeper::{ConnectString, close_session};
use rustix::process::{Pid, PidfdFlags, getppid, pidfd_open};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use super::Order;

/// Longest line the broker sends.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// The session to end.
#[derive(Debug)]
struct Charge {
    connect: ConnectString,
    credentials: Credentials,
    timeout: Duration,
}

/// Runs until the broker with the process id in the first of `arguments` dismisses it or is gone.
pub fn run(arguments: &[OsString]) -> ExitCode {
    let broker = arguments.first().and_then(|text| text.to_str()?.parse().ok());
    let pidfd = arguments.get(1).is_none_or(|text| text != super::WITHOUT_PIDFD);
    let Some(broker) = broker.and_then(Pid::from_raw) else {
        eprintln!("ottla guard is started by a broker, not by hand");
        return ExitCode::from(crate::server::EXIT_CONFIGURATION);
    };
    match guard(broker, pidfd) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn guard(broker: Pid, pidfd: bool) -> io::Result<()> {
    close_inherited()?;
    // Taken while the parent's id is still its own. `None`: the broker is gone already, or there is
    // no such descriptor.
    let pidfd = pidfd.then(|| pidfd_open(broker, PidfdFlags::empty()).ok()).flatten();
    let pidfd = pidfd.filter(|_| getppid() == Some(broker));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Signals that end a whole service reach the guard too, but its work begins where the broker
    // ends.
    let _deaf = {
        let _entered = runtime.enter();
        let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
        kinds.into_iter().map(signal).collect::<io::Result<Vec<_>>>()?
    };
    match last_charge(io::stdin().lock())? {
        Some(charge) => end(&runtime, (broker, pidfd), &charge),
        None => Ok(()),
    }
}

/// Closes what the broker itself was given by whoever started it. Of its own it passes on nothing.
fn close_inherited() -> io::Result<()> {
    let names = std::fs::read_dir("/proc/self/fd")?.flatten().map(|entry| entry.file_name());
    let open: Vec<i32> = names.filter_map(|name| name.to_str()?.parse().ok()).collect();
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2) {
        // SAFETY: this process has just begun: it has one thread and opened nothing that is still
        // in use; an error says that the descriptor (the directory's) is closed already.
        unsafe { libc::close(descriptor) };
    }
    Ok(())
}

/// The newest session once the pipe has ended; `None` if there is none, or the guard was dismissed.
fn last_charge(input: impl Read) -> io::Result<Option<Charge>> {
    let mut input = BufReader::new(input);
    let mut charge = None;
    loop {
        let mut line = Vec::new();
        let mut rest = (&mut input).take(LINE_BYTES_MAX);
        if rest.read_until(b'\n', &mut line)? == 0 || line.last() != Some(&b'\n') {
            // What was cut off by the end is of no use; what was said before is.
            return Ok(charge);
        }
        match serde_json::from_slice(&line)? {
            Order::Dismissed => return Ok(None),
            Order::Session { connect, session_id, password, timeout_ms } => {
                charge = Some(Charge {
                    connect: connect.parse().map_err(io::Error::other)?,
                    credentials: Credentials::new(session_id, Bytes::from(password)),
                    timeout: Duration::from_millis(timeout_ms),
                });
            }
        }
    }
}

/// Waits until the broker is gone for certain, then ends its session: for as long as it can live.
fn end(
    runtime: &Runtime,
    (broker, pidfd): (Pid, Option<OwnedFd>),
    charge: &Charge,
) -> io::Result<()> {
    runtime.block_on(async {
        if let Some(pidfd) = pidfd {
            super::readable_at_end(pidfd)?.readable().await?.retain_ready();
        }
        // An orphan has another parent.
        while getppid() == Some(broker) {
            tokio::time::sleep(super::LOOK).await;
        }
        let timeout_ms = u32::try_from(charge.timeout.as_millis()).unwrap_or(u32::MAX);
        close_session(&charge.connect, &charge.credentials, timeout_ms, charge.timeout)
            .await
            .map_err(io::Error::other)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(order: &Order) -> String {
        format!("{}\n", serde_json::to_string(order).unwrap())
    }

    fn session(session_id: i64) -> String {
        let connect = "127.0.0.1:1/kafka".to_owned();
        line(&Order::Session { connect, session_id, password: vec![7; 16], timeout_ms: 6000 })
    }

    #[test]
    fn the_last_session_told_is_the_one_to_end() {
        let told = format!("{}{}{}", session(1), session(2), &session(3)[..20]);
        let charge = last_charge(told.as_bytes()).unwrap().expect("a session");
        assert_eq!(charge.credentials, Credentials::new(2, Bytes::from(vec![7; 16])));
        assert_eq!(charge.connect.to_string(), "127.0.0.1:1/kafka");
        assert_eq!(charge.timeout, Duration::from_secs(6));
    }

    #[test]
    fn a_dismissed_guard_ends_nothing() {
        let told = format!("{}{}", session(1), line(&Order::Dismissed));
        assert!(last_charge(told.as_bytes()).unwrap().is_none());
        assert!(last_charge(&b""[..]).unwrap().is_none());
    }

    #[test]
    fn strange_lines_are_errors() {
        assert!(last_charge(&b"{}\n"[..]).is_err());
        assert!(last_charge(session(1).replace("/kafka", "//").as_bytes()).is_err());
    }
}
