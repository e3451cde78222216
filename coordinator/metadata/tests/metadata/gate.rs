//! A way to a server that a test can close, or fill with sand: nothing is passed on, nothing is
//! said.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    Open,
    /// Connections stay, bytes are held back.
    Stuck,
    /// Connections break, new ones too.
    Cut,
}

pub struct Gate {
    port: u16,
    passage: Arc<watch::Sender<Passage>>,
    /// Bytes towards the server that were ever held back.
    held: Arc<watch::Sender<usize>>,
}

impl Gate {
    pub async fn start(server_port: u16) -> Gate {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let passage = Arc::new(watch::Sender::new(Passage::Open));
        let held = Arc::new(watch::Sender::new(0));
        let (gate, holding) = (Arc::clone(&passage), Arc::clone(&held));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (up, down) = (gate.subscribe(), gate.subscribe());
                tokio::spawn(pass_both(client, server_port, up, down, Arc::clone(&holding)));
            }
        });
        Gate { port, passage, held }
    }

    pub fn connect(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn set(&self, passage: Passage) {
        self.passage.send_replace(passage);
    }

    /// Until something on its way to the server is held back.
    pub async fn holds(&self) {
        self.held.subscribe().wait_for(|bytes| *bytes > 0).await.unwrap();
    }
}

async fn pass_both(
    client: TcpStream,
    server_port: u16,
    up: watch::Receiver<Passage>,
    down: watch::Receiver<Passage>,
    held: Arc<watch::Sender<usize>>,
) -> io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", server_port)).await?;
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    tokio::select! {
        _ = pass(client_read, server_write, up, |count| held.send_modify(|all| *all += count)) => {}
        _ = pass(server_read, client_write, down, drop) => {}
    }
    Ok(())
}

async fn pass(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut passage: watch::Receiver<Passage>,
    note_held: impl Fn(usize),
) -> io::Result<()> {
    let mut bytes = vec![0; 16 * 1024];
    let mut held = Vec::new();
    loop {
        let now = *passage.borrow_and_update();
        let turned = |e| io::Error::other(format!("{e}"));
        match now {
            Passage::Cut => return Ok(()),
            Passage::Stuck => tokio::select! {
                biased;
                changed = passage.changed() => changed.map_err(turned)?,
                count = from.read(&mut bytes) => match count? {
                    0 => return Ok(()),
                    count => {
                        held.extend_from_slice(&bytes[..count]);
                        note_held(count);
                    }
                },
            },
            Passage::Open if !held.is_empty() => to.write_all(&std::mem::take(&mut held)).await?,
            Passage::Open => tokio::select! {
                biased;
                changed = passage.changed() => changed.map_err(turned)?,
                count = from.read(&mut bytes) => match count? {
                    0 => return Ok(()),
                    count => to.write_all(&bytes[..count]).await?,
                },
            },
        }
    }
}
