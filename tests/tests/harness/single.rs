//! The single servers: start, answer, crash, pause, come back.

use std::time::Duration;

use poem_session_tests::servers::{Options, Server, mariadb, postgres, redis};
use tokio::time::timeout;

/// A statement that writes, and one that shows what was written.
struct Statements {
    write: &'static str,
    read: &'static str,
}

const REDIS: Statements = Statements {
    write: "SET kept 42",
    read: "GET kept",
};
const SQL: Statements = Statements {
    write: "CREATE TABLE kept (n integer); INSERT INTO kept VALUES (42)",
    read: "SELECT n FROM kept",
};

/// Every way to take a server down and back, on one instance.
async fn keeps_its_data(server: Server, statements: Statements) {
    let Statements { write, read } = statements;
    let (url, port, first) = (server.url(), server.port(), server.pid().expect("it runs"));
    assert!(url.contains(&format!("127.0.0.1:{port}")), "{url}");
    server.run(write).await;

    server.kill().await;
    assert_eq!(server.pid(), None);
    assert!(
        std::net::TcpStream::connect(server.address()).is_err(),
        "it still listens"
    );
    server.restart().await;
    assert_ne!(server.pid(), Some(first));
    assert_eq!((server.url(), server.port()), (url, port));
    assert_eq!(server.run(read).await.trim(), "42", "after a crash");

    server.stop().await;
    assert_eq!(server.pid(), None);
    server.restart().await;
    assert_eq!(server.run(read).await.trim(), "42", "after an orderly end");

    server.pause();
    let mut answer = std::pin::pin!(server.run(read));
    assert!(
        timeout(Duration::from_secs(1), &mut answer).await.is_err(),
        "it is paused"
    );
    server.resume();
    assert_eq!(answer.await.trim(), "42", "after a pause");

    server.pause();
    server.restart().await;
    assert_eq!(
        server.run(read).await.trim(),
        "42",
        "after a crash in a pause"
    );
}

#[tokio::test]
async fn redis_keeps_its_data() {
    // Otherwise what Redis acknowledged last may be lost in a crash.
    let options = Options::new().arguments(["--appendfsync", "always"]);
    let Some(server) = redis::private(options).await else {
        return;
    };
    keeps_its_data(server, REDIS).await;
}

#[tokio::test]
async fn postgres_keeps_its_data() {
    let Some(server) = postgres::private(Options::new()).await else {
        return;
    };
    assert_eq!(server.run("SHOW fsync").await.trim(), "on");
    assert_eq!(server.run("SHOW synchronous_commit").await.trim(), "on");
    keeps_its_data(server, SQL).await;
}

#[tokio::test]
async fn mariadb_keeps_its_data() {
    let Some(server) = mariadb::private(Options::new()).await else {
        return;
    };
    let flush = server.run("SELECT @@innodb_flush_log_at_trx_commit").await;
    assert_eq!(flush.trim(), "1");
    keeps_its_data(server, SQL).await;
}

#[tokio::test]
async fn a_shared_server_is_one_server_with_databases_apart() {
    let Some(first) = postgres::shared().await else {
        return;
    };
    let second = postgres::shared().await.expect("it was there");
    assert_eq!(first.pid(), second.pid());
    let (one, other) = (first.new_database().await, second.new_database().await);
    assert_ne!(one, other);
    assert_eq!(
        first
            .run("SELECT count(*) FROM pg_database WHERE datname ~ '^test_'")
            .await,
        "2\n"
    );
}

#[tokio::test]
async fn every_shared_server_gives_new_databases() {
    if let Some(server) = redis::shared().await {
        assert!(server.new_database().await.ends_with("/1"));
        assert!(server.new_database().await.ends_with("/2"));
    }
    if let Some(server) = mariadb::shared().await {
        let url = server.new_database().await;
        let name = url.rsplit('/').next().expect("a URL has slashes");
        assert!(
            server
                .run("SHOW DATABASES")
                .await
                .lines()
                .any(|line| line == name)
        );
    }
}

#[tokio::test]
async fn a_server_that_is_dropped_is_gone_with_its_directory() {
    let Some(server) = redis::private(Options::new()).await else {
        return;
    };
    let (address, directory) = (server.address(), server.directory().to_owned());
    assert!(directory.exists());
    drop(server);
    assert!(std::net::TcpStream::connect(address).is_err());
    assert!(!directory.exists());
}

#[tokio::test]
async fn arguments_reach_the_server() {
    if let Some(server) = redis::private(Options::new().arguments(["--maxmemory", "4mb"])).await {
        assert!(server.run("CONFIG GET maxmemory").await.contains("4194304"));
    }
    if let Some(server) =
        postgres::private(Options::new().arguments(["-c", "max_connections=7"])).await
    {
        assert_eq!(server.run("SHOW max_connections").await.trim(), "7");
    }
    if let Some(server) = mariadb::private(Options::new().arguments(["--max-connections=12"])).await
    {
        assert_eq!(server.run("SELECT @@max_connections").await.trim(), "12");
    }
}

/// Grows a table until the server says that it cannot, then asks for what is in it.
async fn fills_up(server: Server, fill: &str, complaint: &str) {
    server.run("CREATE TABLE filler (n integer, t text)").await;
    let mut rows = 0;
    let why = loop {
        assert!(rows < 100, "the limit is not felt");
        match server
            .try_run(format!("{fill}; SELECT count(*) FROM filler"))
            .await
        {
            Ok(_) => rows += 1,
            Err(why) => break why,
        }
    };
    assert!(why.contains(complaint), "{why}");
    let found = server.run("SELECT count(*) FROM filler").await;
    assert_eq!(
        found.trim(),
        (rows * 2000).to_string(),
        "the refused rows are not there"
    );
}

#[tokio::test]
async fn postgres_feels_a_full_disk_and_goes_on() {
    let options = Options::new().file_limit(4 << 20);
    let Some(server) = postgres::private(options).await else {
        return;
    };
    let fill =
        "INSERT INTO filler SELECT n, repeat(md5(n::text), 20) FROM generate_series(1, 2000) n";
    fills_up(server, fill, "File too large").await;
}

#[tokio::test]
async fn mariadb_feels_a_full_disk_and_goes_on() {
    let options = Options::new().file_limit(32 << 20);
    let Some(server) = mariadb::private(options).await else {
        return;
    };
    let fill = "INSERT INTO filler SELECT seq, REPEAT(MD5(seq), 200) FROM seq_1_to_2000";
    fills_up(server, fill, "The table 'filler' is full").await;
}

#[tokio::test]
async fn redis_feels_a_full_disk_and_goes_on() {
    let options = Options::new().file_limit(1 << 20);
    let Some(server) = redis::private(options).await else {
        return;
    };
    let value = "x".repeat(8000);
    let mut written = 0;
    let why = loop {
        assert!(written < 1000, "the limit is not felt");
        let said = server.run(format!("SET key-{written} {value}")).await;
        if said.trim() != "OK" {
            break said;
        }
        written += 1;
    };
    assert!(why.starts_with("MISCONF"), "{why}");
    assert_eq!(server.run("GET key-0").await.trim(), value);
}
