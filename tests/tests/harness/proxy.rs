//! The proxy that takes the network away.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use poem_session_tests::proxy::Proxy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// A server that says everything back, behind a proxy.
async fn echo() -> Proxy {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    Proxy::start(address).await
}

async fn connect(proxy: &Proxy) -> TcpStream {
    TcpStream::connect(proxy.address()).await.unwrap()
}

async fn say(stream: &mut TcpStream, word: &str) -> std::io::Result<String> {
    stream.write_all(word.as_bytes()).await?;
    let mut answer = vec![0; word.len()];
    stream.read_exact(&mut answer).await?;
    Ok(String::from_utf8(answer).unwrap())
}

#[tokio::test]
async fn it_passes_everything_on_and_counts() {
    let proxy = echo().await;
    let mut first = connect(&proxy).await;
    let mut second = connect(&proxy).await;
    assert_eq!(say(&mut first, "one").await.unwrap(), "one");
    assert_eq!(say(&mut second, "two").await.unwrap(), "two");
    assert_eq!((proxy.accepted(), proxy.open()), (2, 2));
    drop(first);
    while proxy.open() > 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(proxy.accepted(), 2);
}

#[tokio::test]
async fn an_end_is_passed_on_with_all_that_came_before_it() {
    let proxy = echo().await;
    let mut stream = connect(&proxy).await;
    let data = vec![7; 3 << 20];
    let (mut from, mut to) = stream.split();
    let send = async {
        to.write_all(&data).await.unwrap();
        to.shutdown().await.unwrap();
    };
    let mut received = Vec::new();
    let ((), read) = tokio::join!(send, from.read_to_end(&mut received));
    read.unwrap();
    assert_eq!(received.len(), data.len());
}

#[tokio::test]
async fn a_cut_resets_what_is_open_and_lets_new_connections_in() {
    let proxy = echo().await;
    let mut stream = connect(&proxy).await;
    say(&mut stream, "one").await.unwrap();
    proxy.cut();
    let error = stream.read(&mut [0; 8]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(say(&mut connect(&proxy).await, "two").await.unwrap(), "two");
}

#[tokio::test]
async fn a_refusal_is_for_new_connections_until_it_ends() {
    let proxy = echo().await;
    let mut open = connect(&proxy).await;
    say(&mut open, "one").await.unwrap();
    proxy.refuse().await;
    let error = TcpStream::connect(proxy.address()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(say(&mut open, "two").await.unwrap(), "two");
    proxy.pass().await;
    assert_eq!(say(&mut connect(&proxy).await, "new").await.unwrap(), "new");
}

#[tokio::test]
async fn a_stall_holds_bytes_back_and_loses_none() {
    let proxy = echo().await;
    let mut open = connect(&proxy).await;
    say(&mut open, "one").await.unwrap();
    proxy.stall().await;
    open.write_all(b"two").await.unwrap();
    let mut answer = [0; 3];
    let wait = timeout(Duration::from_millis(200), open.read_exact(&mut answer));
    assert!(wait.await.is_err(), "a stalled proxy answers");
    let mut new = connect(&proxy).await;
    let wait = timeout(Duration::from_millis(200), say(&mut new, "new"));
    assert!(
        wait.await.is_err(),
        "a stalled proxy answers a new connection"
    );
    proxy.pass().await;
    assert_eq!(say(&mut open, "!").await.unwrap(), "t");
}

#[tokio::test]
async fn a_stall_for_a_while_ends_by_itself() {
    let proxy = echo().await;
    let mut open = connect(&proxy).await;
    say(&mut open, "one").await.unwrap();
    let begun = Instant::now();
    proxy.stall_for(Duration::from_millis(300)).await;
    assert_eq!(say(&mut open, "two").await.unwrap(), "two");
    assert!(begun.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_url_leads_through_it() {
    let server = "127.0.0.1:9".parse().unwrap();
    let proxy = Proxy::start(server).await;
    let url = proxy.url("postgres://user:word@127.0.0.1:9/db");
    assert_eq!(url, format!("postgres://user:word@{}/db", proxy.address()));
}
