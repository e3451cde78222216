//! A TCP proxy between a broker and its ZooKeeper: it learns the session as it passes by.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What a ZooKeeper server gave a client: enough to speak as that client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub id: i64,
    pub password: Vec<u8>,
}

/// Passes bytes on until its process ends. One connection after another, as a client reconnects.
pub struct ZooKeeperProxy {
    port: u16,
    session: Arc<Mutex<Option<Session>>>,
    cut: Arc<AtomicBool>,
}

impl ZooKeeperProxy {
    /// In front of the server at `127.0.0.1:server_port`.
    pub fn start(server_port: u16) -> ZooKeeperProxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let session = Arc::new(Mutex::new(None));
        let learned = session.clone();
        let cut = Arc::new(AtomicBool::new(false));
        let is_cut = cut.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server_port)) else { continue };
                pass(client, server, learned.clone(), &is_cut);
            }
        });
        ZooKeeperProxy { port, session, cut }
    }

    /// From now on no byte passes and no connection ends, as when a cable is pulled: connections
    /// are accepted and stay silent.
    pub fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
    }

    /// Bytes pass again, those held back first.
    pub fn heal(&self) {
        self.cut.store(false, Ordering::SeqCst);
    }

    pub fn connect(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The newest session that was opened through here.
    pub fn session(&self) -> Option<Session> {
        self.session.lock().expect("no holder panics").clone()
    }
}

fn pass(
    client: TcpStream,
    server: TcpStream,
    learned: Arc<Mutex<Option<Session>>>,
    cut: &Arc<AtomicBool>,
) {
    let pair = |a: &TcpStream, b: &TcpStream| Some((a.try_clone().ok()?, b.try_clone().ok()?));
    let (Some(up), Some(down)) = (pair(&client, &server), pair(&server, &client)) else { return };
    let (cut_up, cut_down) = (cut.clone(), cut.clone());
    thread::spawn(move || copy(up.0, up.1, &cut_up));
    thread::spawn(move || {
        let (mut from, mut to) = down;
        if let Some(answer) = connect_answer(&mut from) {
            if let Some(session) = parse(&answer) {
                *learned.lock().expect("no holder panics") = Some(session);
            }
            if to.write_all(&answer).is_ok() {
                return copy(from, to, &cut_down);
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
}

fn copy(mut from: TcpStream, mut to: TcpStream, cut: &AtomicBool) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        while cut.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(5));
        }
        if to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// The first frame that a server sends, with its length.
fn connect_answer(from: &mut TcpStream) -> Option<Vec<u8>> {
    let mut frame = vec![0; 4];
    from.read_exact(&mut frame).ok()?;
    let length = i32::from_be_bytes(frame[..4].try_into().ok()?);
    if !(36..=64).contains(&length) {
        return None;
    }
    frame.resize(4 + length as usize, 0);
    from.read_exact(&mut frame[4..]).ok()?;
    Some(frame)
}

/// `protocol i32, timeout i32, session i64, password (i32 length, bytes)`, after the length.
fn parse(frame: &[u8]) -> Option<Session> {
    let id = i64::from_be_bytes(frame.get(12..20)?.try_into().ok()?);
    let length = i32::from_be_bytes(frame.get(20..24)?.try_into().ok()?);
    let password = frame.get(24..24 + usize::try_from(length).ok()?)?.to_vec();
    // A server that refuses a session answers with zeros.
    (id != 0).then_some(Session { id, password })
}

/// Ends `session` from outside: connects as its owner and closes it.
pub fn close_session(server_port: u16, session: &Session) {
    let mut stream = TcpStream::connect(("127.0.0.1", server_port)).expect("the server listens");
    let mut request = vec![];
    request.extend(0i32.to_be_bytes()); // protocol
    request.extend(0i64.to_be_bytes()); // last zxid seen
    request.extend(6000i32.to_be_bytes()); // timeout
    request.extend(session.id.to_be_bytes());
    request.extend((session.password.len() as i32).to_be_bytes());
    request.extend(&session.password);
    request.push(0); // not read-only
    send(&mut stream, &request);
    let answer = connect_answer(&mut stream).expect("an answer to the connect request");
    assert_eq!(parse(&answer).as_ref(), Some(session), "the server took us for the owner");
    let mut close = vec![];
    close.extend(1i32.to_be_bytes()); // xid
    close.extend((-11i32).to_be_bytes()); // closeSession
    send(&mut stream, &close);
    let _ = stream.read_to_end(&mut vec![]);
}

fn send(stream: &mut TcpStream, body: &[u8]) {
    let mut frame = (body.len() as i32).to_be_bytes().to_vec();
    frame.extend(body);
    stream.write_all(&frame).expect("the server reads");
}
