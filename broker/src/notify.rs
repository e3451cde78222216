//! Tells systemd how far the start is (`sd_notify`), when it asked for that. Knows nothing of the
//! broker.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Sends one state such as `READY=1` to `NOTIFY_SOCKET`; does nothing without one.
pub fn notify(state: &str) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(&socket.to_string_lossy(), state) {
        tracing::warn!(%error, state, "the service manager could not be told");
    }
}

fn send(socket: &str, state: &str) -> io::Result<()> {
    let address = match socket.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_arrives_at_both_kinds_of_address() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("notify");
        let receiver = UnixDatagram::bind(&path).expect("bound");
        send(&path.display().to_string(), "READY=1").expect("sent");
        let mut buffer = [0; 32];
        let read = receiver.recv(&mut buffer).expect("received");
        assert_eq!(&buffer[..read], b"READY=1");

        let name = format!("ottla-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let receiver = UnixDatagram::bind_addr(&address).expect("bound");
        send(&format!("@{name}"), "STOPPING=1").expect("sent");
        let read = receiver.recv(&mut buffer).expect("received");
        assert_eq!(&buffer[..read], b"STOPPING=1");
    }
}
