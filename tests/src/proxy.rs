//! A TCP proxy in front of a server, to simulate network failures.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::servers::free_port;

/// A proxy on a free port. It forwards everything until another mode is set.
///
/// It runs on the runtime that started it, until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    state: Arc<State>,
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    server: SocketAddr,
    mode: watch::Sender<Mode>,
    listens: watch::Sender<bool>,
    /// A change cuts the connections.
    cuts: watch::Sender<u64>,
    open: AtomicUsize,
    accepted: AtomicUsize,
    /// The number of connection halves whose bytes are delayed.
    held: AtomicUsize,
    /// The number of replies until the lost one. Zero if no reply is to be lost.
    countdown: AtomicUsize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Pass,
    Hold,
    Stall,
    Refuse,
}

impl Proxy {
    /// Starts a proxy in front of the server at this address. While the server is down, the proxy accepts
    /// connections and closes them.
    pub async fn start(server: SocketAddr) -> Self {
        let (listener, address) = loop {
            let address = (Ipv4Addr::LOCALHOST, free_port()).into();
            if let Ok(listener) = TcpListener::bind(address).await {
                break (listener, address);
            }
        };
        let state = Arc::new(State {
            server,
            mode: watch::Sender::new(Mode::Pass),
            listens: watch::Sender::new(true),
            cuts: watch::Sender::new(0),
            open: AtomicUsize::new(0),
            accepted: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            countdown: AtomicUsize::new(0),
        });
        let accepting = tokio::spawn(accept(Arc::clone(&state), listener));
        Self {
            state,
            address,
            accepting,
        }
    }

    /// The address that the proxy listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Replaces the address of the server in a URL with that of the proxy.
    pub fn url(&self, server: &str) -> String {
        let to = self.state.server.to_string();
        assert!(
            server.contains(&to),
            "the URL does not name the server behind the proxy"
        );
        server.replace(&to, &self.address.to_string())
    }

    /// Forwards everything, as at the start.
    pub async fn pass(&self) {
        self.enter(Mode::Pass).await;
    }

    /// Resets all open connections, and waits until they are closed. New connections work.
    pub async fn cut(&self) {
        self.begin_cut();
        while self.state.open.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(crate::INTERVAL).await;
        }
    }

    fn begin_cut(&self) {
        self.state.cuts.send_modify(|count| *count += 1);
    }

    /// Refuses new connections, as a port without a listener does. Open connections keep working.
    pub async fn refuse(&self) {
        self.enter(Mode::Refuse).await;
    }

    /// Delays every byte in both directions until [`pass`](Self::pass). Connections stay open, and new
    /// ones are accepted.
    pub async fn stall(&self) {
        self.enter(Mode::Stall).await;
    }

    /// Waits until the proxy delays the bytes of this number of connections or more.
    pub async fn holds(&self, connections: usize) {
        crate::eventually("the proxy delays bytes", async || {
            (self.state.held.load(Ordering::SeqCst) >= connections).then_some(())
        })
        .await;
    }

    /// Returns the number of connections that were opened so far.
    pub fn accepted(&self) -> usize {
        self.state.accepted.load(Ordering::SeqCst)
    }

    /// Waits until this number of connections or more were opened.
    pub async fn accepts(&self, connections: usize) {
        crate::eventually("the proxy accepts connections", async || {
            (self.accepted() >= connections).then_some(())
        })
        .await;
    }

    /// Drops the reply with this number, counted from now, together with its connection. Only replies to the
    /// scripts of Redis count.
    pub fn lose_reply(&self, number: usize) {
        self.state.countdown.store(number, Ordering::SeqCst);
    }

    /// Waits until the reply is lost.
    pub async fn reply_is_lost(&self) {
        crate::eventually("a reply is lost", async || {
            (self.state.countdown.load(Ordering::SeqCst) == 0).then_some(())
        })
        .await;
    }

    /// Accepts new connections, but does not serve them until [`pass`](Self::pass). Open connections keep
    /// working.
    pub async fn hold(&self) {
        self.enter(Mode::Hold).await;
    }

    async fn enter(&self, mode: Mode) {
        self.state.mode.send_replace(mode);
        let mut listens = self.state.listens.subscribe();
        reaches(&mut listens, |listens| listens == (mode != Mode::Refuse)).await;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.begin_cut();
    }
}

impl State {
    fn loses_reply(&self) -> bool {
        let less = |left: usize| left.checked_sub(1);
        let order = Ordering::SeqCst;
        self.countdown.fetch_update(order, order, less) == Ok(1)
    }
}

async fn accept(state: Arc<State>, mut listener: TcpListener) {
    let address = listener.local_addr().expect("a listener has an address");
    let mut mode = state.mode.subscribe();
    loop {
        tokio::select! {
            Ok((client, _)) = listener.accept() => {
                state.accepted.fetch_add(1, Ordering::SeqCst);
                let cuts = state.cuts.subscribe();
                tokio::spawn(serve(Arc::clone(&state), client, cuts));
            }
            true = reaches(&mut mode, |mode| mode == Mode::Refuse) => {
                // Without a listener, the kernel refuses connections.
                drop(listener);
                state.listens.send_replace(false);
                reaches(&mut mode, |mode| mode != Mode::Refuse).await;
                listener = TcpListener::bind(address).await.expect("the port is still free");
                state.listens.send_replace(true);
            }
        }
    }
}

/// Waits until a value is wanted. Returns `false` if its sender is gone.
async fn reaches<T: Copy>(value: &mut watch::Receiver<T>, wanted: impl Fn(T) -> bool) -> bool {
    value.wait_for(|value| wanted(*value)).await.is_ok()
}

/// Forwards one connection until both ends have closed it, one has failed, or it is cut.
async fn serve(state: Arc<State>, mut client: TcpStream, mut cuts: watch::Receiver<u64>) {
    reaches(&mut state.mode.subscribe(), |mode| mode != Mode::Hold).await;
    let Ok(mut server) = TcpStream::connect(state.server).await else {
        return;
    };
    state.open.fetch_add(1, Ordering::SeqCst);
    let is_cut = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let is_script = AtomicBool::new(false);
        let request = |bytes: &[u8]| {
            let found = bytes.windows(7).any(|word| word == b"EVALSHA");
            is_script.store(found, Ordering::SeqCst);
            true
        };
        let reply = |_: &[u8]| !(is_script.load(Ordering::SeqCst) && state.loses_reply());
        tokio::select! {
            _ = async { tokio::try_join!(
                carry(&state, from_client, to_server, request),
                carry(&state, from_server, to_client, reply),
            ) } => false,
            _ = cuts.changed() => true,
        }
    };
    if is_cut {
        // The close becomes a reset, which discards bytes that were not delivered.
        let _ = (client.set_zero_linger(), server.set_zero_linger());
    }
    drop((client, server));
    state.open.fetch_sub(1, Ordering::SeqCst);
}

async fn carry(
    state: &State,
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    passes: impl Fn(&[u8]) -> bool,
) -> io::Result<()> {
    let mut mode = state.mode.subscribe();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let length = from.read(&mut buffer).await?;
        state.held.fetch_add(1, Ordering::SeqCst);
        reaches(&mut mode, |mode| mode != Mode::Stall).await;
        state.held.fetch_sub(1, Ordering::SeqCst);
        if length == 0 {
            return to.shutdown().await;
        }
        if !passes(&buffer[..length]) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        to.write_all(&buffer[..length]).await?;
    }
}
