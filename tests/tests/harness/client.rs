//! The HTTP client, against a server that says what it was sent.

use std::net::SocketAddr;

use poem_session_tests::http::{Client, Clients};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Answers every request with this, and the request's own head and body as the body.
async fn mirror(head: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let body = whole_request(&mut stream).await;
                let length = body.len();
                let answer = format!("{head}\r\nContent-Length: {length}\r\n\r\n{body}");
                stream.write_all(answer.as_bytes()).await.unwrap();
            });
        }
    });
    address
}

async fn whole_request(stream: &mut TcpStream) -> String {
    let mut request = String::new();
    let mut buffer = [0; 4096];
    loop {
        let length = stream.read(&mut buffer).await.unwrap();
        request.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
        if let Some((head, body)) = request.split_once("\r\n\r\n") {
            let length = head.split("content-length: ").nth(1).unwrap_or("0");
            let length: usize = length.lines().next().unwrap().parse().unwrap();
            if body.len() >= length {
                return request;
            }
        }
    }
}

#[tokio::test]
async fn cookies_are_kept_a_person_and_sent_back() {
    let head = "HTTP/1.1 200 OK\r\nSet-Cookie: __Host-id=abc; Secure; HttpOnly; Path=/\r\n\
                Set-Cookie: other=1; Path=/elsewhere";
    let people = Clients::new(mirror(head).await);
    let first = people.of("alice").get("/").send().await;
    assert_eq!(first.status, 200);
    assert!(
        !first.text().to_lowercase().contains("cookie:"),
        "{}",
        first.text()
    );
    assert_eq!(
        first.set_cookie("__Host-id").unwrap().http_only(),
        Some(true)
    );

    let second = people.of("alice").get("/").send().await.text();
    assert!(second.contains("cookie: __Host-id=abc\r\n"), "{second}");
    assert_eq!(
        people.of("alice").cookie("__Host-id").as_deref(),
        Some("abc")
    );
    assert_eq!(people.of("bob").cookie("__Host-id"), None);

    let without = people
        .of("alice")
        .get("/")
        .without_cookies()
        .send()
        .await
        .text();
    assert!(!without.contains("cookie:"), "{without}");
}

#[tokio::test]
async fn a_redirect_is_followed_only_on_request() {
    let address = mirror("HTTP/1.1 303 See Other\r\nLocation: /there").await;
    let client = Client::new(address);
    let answer = client
        .post("/here")
        .form(&[("a", "1"), ("b", "x y")])
        .send()
        .await;
    assert_eq!(answer.status, 303);
    assert!(
        answer.text().starts_with("POST /here HTTP/1.1\r\n"),
        "{}",
        answer.text()
    );
    assert!(
        answer.text().ends_with("\r\n\r\na=1&b=x%20y"),
        "{}",
        answer.text()
    );
    let there = client.follow(&answer).await;
    assert!(
        there.text().starts_with("GET /there HTTP/1.1\r\n"),
        "{}",
        there.text()
    );
}

#[tokio::test]
async fn a_fork_goes_its_own_way_and_another_host_has_other_cookies() {
    let address = mirror("HTTP/1.1 200 OK\r\nSet-Cookie: id=abc; Path=/").await;
    let client = Client::new(address);
    let fork = client.fork();
    client.get("/").send().await;
    assert_eq!(client.cookies().len(), 1);
    assert!(fork.cookies().is_empty());
    let elsewhere = client.host("shop.test");
    assert_eq!(elsewhere.cookie("id"), None);
    let said = elsewhere.get("/").send().await.text();
    assert!(said.contains("host: shop.test\r\n"), "{said}");
    client.clear_cookies();
    assert_eq!(elsewhere.cookies().len(), 0, "tabs share their cookies");
}

#[tokio::test]
async fn a_server_that_is_gone_is_an_error_for_those_who_expect_it() {
    let address = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let error = Client::new(address).get("/").try_send().await.unwrap_err();
    assert!(error.contains("refused"), "{error}");
}

#[tokio::test]
async fn a_body_can_be_read_as_it_comes() {
    let address = mirror("HTTP/1.1 200 OK").await;
    let mut stream = Client::new(address).get("/slowly").stream().await;
    assert_eq!(stream.head().status, 200);
    let first = stream.next().await.unwrap().expect("there is a body");
    assert!(first.starts_with(b"GET /slowly"));
    while stream.next().await.unwrap().is_some() {}
}
