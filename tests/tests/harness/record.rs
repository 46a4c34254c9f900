//! The record of what reaches a server.

use poem_session_tests::monitor::{Command, Monitor};
use poem_session_tests::servers::{Options, mariadb, postgres, redis};

fn texts(commands: &[Command]) -> Vec<&str> {
    commands
        .iter()
        .map(|command| command.text.as_str())
        .collect()
}

#[tokio::test]
async fn redis_commands_are_recorded_and_those_of_scripts_are_not() {
    let Some(server) = redis::private(Options::new()).await else {
        return;
    };
    server.run("SET before 1").await;
    let monitor = Monitor::start(&server).await;
    server.run("SET key 1").await;
    server
        .run("EVAL return(redis.call('INCR',KEYS[1])) 1 key")
        .await;
    server.run("GET key").await;
    let seen = monitor.finish().await;
    server.run("SET after 1").await;
    assert_eq!(
        texts(&seen),
        [
            "SET key 1",
            "EVAL return(redis.call('INCR',KEYS[1])) 1 key",
            "GET key"
        ]
    );
    assert_eq!(seen[2].name(), "GET");
    assert_eq!(Monitor::start(&server).await.finish().await, []);
}

#[tokio::test]
async fn postgres_statements_are_recorded() {
    let Some(server) = postgres::private(Options::new().log_statements()).await else {
        return;
    };
    server.run("SELECT 'before'").await;
    let monitor = Monitor::start(&server).await;
    server.run("SELECT 1,\n2").await;
    server.run("PREPARE p AS SELECT 3; EXECUTE p").await;
    let seen = monitor.finish().await;
    assert_eq!(
        texts(&seen),
        ["SELECT 1,\n2", "PREPARE p AS SELECT 3; EXECUTE p"]
    );
    assert_ne!(seen[0].client, seen[1].client);
}

#[tokio::test]
async fn mariadb_statements_are_recorded() {
    let Some(server) = mariadb::private(Options::new().log_statements()).await else {
        return;
    };
    server.run("SELECT 'before'").await;
    let monitor = Monitor::start(&server).await;
    server.run("SELECT 1,\n2").await;
    let seen = monitor.finish().await;
    let own: Vec<_> = texts(&seen)
        .into_iter()
        .filter(|text| !text.contains("@@version"))
        .collect();
    assert_eq!(own, ["SELECT 1,\n2"]);
}
