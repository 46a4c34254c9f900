//! The start-up code of all examples, so that their own files show only the use of sessions.

use std::{env, io, path::Path, time::Duration};

use poem::{
    Endpoint, IntoEndpoint, Server,
    listener::{Acceptor, Listener, TcpListener},
};

/// The address that the examples listen on, unless the first argument is another one.
pub const DEFAULT_ADDRESS: &str = "127.0.0.1:3000";

/// Serves an example until Ctrl-C, on the address in the first argument or [`DEFAULT_ADDRESS`].
///
/// # Errors
/// If it cannot listen on the address.
pub async fn serve<E>(app: E) -> io::Result<()>
where
    E: IntoEndpoint<Endpoint: Endpoint + 'static>,
{
    let program = env::args().next().unwrap_or_default();
    let name = Path::new(&program)
        .file_stem()
        .map_or("it".into(), |name| name.to_string_lossy());
    let address = env::args().nth(1);
    listen(&name, address.as_deref().unwrap_or(DEFAULT_ADDRESS), app).await
}

/// Serves `app` on `address` until Ctrl-C or `SIGTERM`. Requests that are running may finish within 5 seconds.
///
/// # Errors
/// If it cannot listen on the address.
pub async fn listen<E>(name: &str, address: &str, app: E) -> io::Result<()>
where
    E: IntoEndpoint<Endpoint: Endpoint + 'static>,
{
    let acceptor = TcpListener::bind(address)
        .into_acceptor()
        .await
        .map_err(|error| {
            io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
        })?;
    // With port 0, the operating system chooses the port.
    for local in acceptor.local_addr() {
        if let Some(socket) = local.as_socket_addr() {
            println!("{name} is listening on http://{socket}");
        }
    }
    Server::new_with_acceptor(acceptor)
        .run_with_graceful_shutdown(app, stop_signal(), Some(Duration::from_secs(5)))
        .await
}

async fn stop_signal() {
    tokio::select! {
        () = interrupted() => {}
        () = terminated() => {}
    }
}

async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        // Ctrl-C is not available on this system, so the server continues.
        std::future::pending::<()>().await;
    }
}

#[cfg(unix)]
async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut signal) => drop(signal.recv().await),
        Err(_) => std::future::pending::<()>().await,
    }
}

#[cfg(not(unix))]
async fn terminated() {
    std::future::pending::<()>().await;
}
