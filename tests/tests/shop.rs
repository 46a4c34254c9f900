//! The demo shop as processes on each store, used over sockets.

use std::time::{Duration, Instant};

use poem_session_tests::{
    http::{Client, Response},
    monitor::Monitor,
    process::App,
    servers::{self, Options, Server},
};
use tokio::task::JoinSet;

/// The time limit of a test on a busy machine.
const PATIENCE: Duration = Duration::from_mins(5);

/// A customer can buy at most twenty of each.
const PRODUCTS: [&str; 9] = [
    "day-book",
    "heron-pen",
    "iron-blue",
    "laid-paper",
    "envelopes",
    "sealing-wax",
    "cedar-pencils",
    "pen-pot",
    "rocker-blotter",
];

async fn shop(store: &str) -> App {
    App::start("shop", &["--listen", "127.0.0.1:0", "--store", store]).await
}

async fn add(client: &Client, product: &str) -> Response {
    let form = [("product_id", product)];
    let request = client.post("/cart/add").form(&form);
    request.header("accept", "application/json").send().await
}

async fn items(client: &Client) -> u64 {
    let request = client.get("/cart").header("accept", "application/json");
    let cart = request.send().await.json();
    cart["items"].as_u64().expect("a number of items")
}

async fn sign_in(client: &Client) -> Response {
    let form = [("user", "emily"), ("password", "feathers")];
    client.post("/login").form(&form).send().await
}

/// Uses the shop from the first visit to the sign-out.
async fn buy_and_leave(client: &Client) {
    let home = client.get("/").send().await;
    assert_eq!(home.status, 200);
    assert!(!home.sets_cookies(), "the session is unchanged");
    assert_eq!(add(client, "heron-pen").await.json()["items"], 1);
    assert_eq!(add(client, "iron-blue").await.json()["items"], 2);
    let before = client.cookie("id").expect("a session");

    let turned_away = client.get("/dashboard").send().await;
    assert_eq!(turned_away.status, 303);
    assert_eq!(turned_away.header("location"), Some("/login"));
    assert_eq!(sign_in(client).await.status, 303);
    let after = client.cookie("id").expect("a session");
    assert_ne!(before, after, "a sign-in gives a new id");
    assert_eq!(client.get("/dashboard").send().await.status, 200);
    assert_eq!(items(client).await, 2, "the cart is kept");

    let message = [
        ("name", "A. Customer"),
        ("email", "a@example.com"),
        ("message", "Hello."),
    ];
    let sent = client.post("/contact").form(&message).send().await;
    assert_eq!(sent.status, 303, "{}", sent.text());
    let page = client.follow(&sent).await;
    let again = client.get("/contact").send().await;
    assert_ne!(page.text(), again.text(), "the notice is shown once");

    assert_eq!(client.post("/logout").send().await.status, 303);
    assert_eq!(items(client).await, 0);
    let dashboard = client
        .stranger()
        .get("/dashboard")
        .header("cookie", &format!("id={after}"));
    assert_eq!(dashboard.send().await.status, 303, "the id has ended");
}

#[tokio::test]
async fn a_customer_uses_the_shop_on_the_memory_store() {
    let shop = shop("memory").await;
    buy_and_leave(&Client::new(shop.address())).await;
    assert!(shop.interrupt().await.success(), "Ctrl-C stops it cleanly");
}

#[tokio::test]
async fn a_cart_on_sqlite_survives_a_restart_and_a_kill() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = format!("sqlite:{}", directory.path().join("shop.db").display());
    let first = shop(&store).await;
    let client = Client::new(first.address());
    buy_and_leave(&client).await;
    add(&client, "heron-pen").await;
    assert!(first.interrupt().await.success());

    let second = shop(&store).await;
    let client = client.at(second.address());
    assert_eq!(items(&client).await, 1, "after a restart");
    add(&client, "day-book").await;
    second.kill().await;

    let third = shop(&store).await;
    assert_eq!(items(&client.at(third.address())).await, 2, "after a kill");
}

/// Conformance 2.1, 2.2
async fn two_processes_count_together(store: &str) {
    let begun = Instant::now();
    let mut shops = [shop(store).await, shop(store).await];
    while !count_together(&shops, store).await {
        assert!(begun.elapsed() < PATIENCE, "{store}: {}", shops[0].output());
        shops = [shop(store).await, shop(store).await];
    }
}

/// Returns `false` if a store call has timed out, as on a busy machine. It is unknown whether that request has counted.
async fn count_together(shops: &[App; 2], store: &str) -> bool {
    let client = Client::new(shops[0].address());
    add(&client, PRODUCTS[0]).await;
    let mut requests = JoinSet::new();
    for number in 0..100 {
        let client = client.at(shops[number % 2].address());
        let product = PRODUCTS[number % PRODUCTS.len()];
        requests.spawn(async move { add(&client, product).await.status.as_u16() });
    }
    let statuses = requests.join_all().await;
    let is_late = |shop: &App| shop.output().contains("did not answer in time");
    if statuses.contains(&503) && shops.iter().any(is_late) {
        return false;
    }
    assert_eq!(statuses, [200; 100], "{store}");
    assert_eq!(items(&client).await, 101, "each request counts");
    assert_eq!(items(&client.at(shops[1].address())).await, 101);
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn two_shops_on_one_sqlite_file_count_together() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("shop.db");
    two_processes_count_together(&format!("sqlite:{}", path.display())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_shops_on_one_redis_count_together() {
    if let Some(server) = servers::redis::shared().await {
        two_processes_count_together(&server.url()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_shops_on_one_redis_cluster_count_together() {
    if let Some(cluster) = servers::redis_cluster::shared().await {
        two_processes_count_together(&cluster.url()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_shops_on_one_postgres_count_together() {
    if let Some(server) = servers::postgres::shared().await {
        two_processes_count_together(&server.new_database().await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_shops_on_one_mariadb_count_together() {
    if let Some(server) = servers::mariadb::shared().await {
        two_processes_count_together(&server.new_database().await).await;
    }
}

/// Counts the calls that reach the server at each request.
async fn calls_of_each_request(server: &Server, store: &str, regenerate: usize) {
    let shop = shop(store).await;
    let client = Client::new(shop.address());
    // Opens the connections, and sends each script whole, which happens once.
    buy_and_leave(&client).await;
    let client = client.stranger();

    let monitor = Monitor::start(server).await;
    client.get("/").send().await;
    assert_calls(monitor, 0, "a visitor without a session").await;

    let monitor = Monitor::start(server).await;
    add(&client, "heron-pen").await;
    assert_calls(monitor, 1, "a new session").await;

    let monitor = Monitor::start(server).await;
    items(&client).await;
    assert_calls(monitor, 1, "a read").await;

    let monitor = Monitor::start(server).await;
    add(&client, "heron-pen").await;
    assert_calls(monitor, 2, "a change").await;

    let monitor = Monitor::start(server).await;
    assert_eq!(sign_in(&client).await.status, 303);
    assert_calls(monitor, regenerate, "a regenerate").await;
}

async fn assert_calls(monitor: Monitor, expected: usize, what: &str) {
    let seen = monitor.finish().await;
    assert_eq!(seen.len(), expected, "{what}: {seen:#?}");
}

#[tokio::test]
async fn redis_receives_no_unnecessary_commands() {
    if let Some(server) = servers::redis::private(Options::new()).await {
        calls_of_each_request(&server, &server.url(), 3).await;
    }
}

#[tokio::test]
async fn postgres_receives_no_unnecessary_statements() {
    if let Some(server) = servers::postgres::private(Options::new().log_statements()).await {
        let database = server.new_database().await;
        calls_of_each_request(&server, &database, 2).await;
    }
}

#[tokio::test]
async fn mariadb_receives_no_unnecessary_statements() {
    if let Some(server) = servers::mariadb::private(Options::new().log_statements()).await {
        let database = server.new_database().await;
        calls_of_each_request(&server, &database, 3).await;
    }
}
