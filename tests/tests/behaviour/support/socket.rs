//! An HTTP server.

use std::net::SocketAddr;

use poem::{
    Server,
    listener::{Acceptor, Listener, TcpListener},
};
use poem_session_tests::{application::Site, http::Client};
use tokio::task::JoinHandle;

/// An application that listens on 127.0.0.1 until this value is dropped.
pub(crate) struct Served {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Served {
    pub(crate) async fn start(site: Site) -> Self {
        let acceptor = TcpListener::bind("127.0.0.1:0")
            .into_acceptor()
            .await
            .expect("a port is free");
        let address = *acceptor.local_addr()[0]
            .as_socket_addr()
            .expect("it listens on TCP");
        let task = tokio::spawn(async move {
            Server::new_with_acceptor(acceptor)
                .run(site)
                .await
                .expect("the server runs");
        });
        Self { address, task }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A client without cookies.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.address)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}
