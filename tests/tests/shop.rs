//! The demo shop as processes on each store, used over sockets.

use poem_session_tests::{
    eventually,
    http::Client,
    process::App,
    reply::Reply,
    servers::{Server, mariadb, postgres, redis, redis_cluster, redis_cluster::Cluster},
};
use tokio::task::JoinSet;

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

async fn add(client: &Client, product: &str) -> Reply {
    let form = [("product_id", product)];
    let request = client.post("/cart/add").form(&form);
    request.header("accept", "application/json").send().await
}

async fn items(client: &Client) -> u64 {
    let request = client.get("/cart").header("accept", "application/json");
    let cart = request.send().await.json();
    cart["items"].as_u64().expect("a number of items")
}

async fn sign_in(client: &Client) -> Reply {
    let form = [("user", "emily"), ("password", "feathers")];
    client.post("/login").form(&form).send().await
}

/// Uses the shop from the first visit to the sign-out.
async fn buy_and_leave(client: &Client) {
    let home = client.get("/").send().await;
    assert_eq!(home.status, 200);
    assert_eq!(home.cookie(), None, "the session is unchanged");
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
    assert_eq!(sent.status, 303, "{}", sent.body);
    let page = client.follow(&sent).await;
    let again = client.get("/contact").send().await;
    assert_ne!(page.body, again.body, "the notice is shown once");

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

/// The shop opens the store of each address.
#[tokio::test]
async fn a_customer_uses_the_shop_on_each_server() {
    let (redis, cluster) = (redis::shared().await, redis_cluster::shared().await);
    let (postgres, mariadb) = (postgres::shared().await, mariadb::shared().await);
    let mut stores: Vec<String> = redis.iter().map(Server::url).collect();
    stores.extend(cluster.iter().map(Cluster::url));
    for server in [postgres, mariadb].iter().flatten() {
        stores.push(server.new_database().await);
    }
    for store in stores {
        buy_and_leave(&Client::new(shop(&store).await.address())).await;
    }
}

/// Both processes write to the file. On the other stores only the server does, and the model plays two processes.
///
/// Conformance 2.1, 2.2
#[tokio::test(flavor = "multi_thread")]
async fn two_shops_on_one_sqlite_file_count_together() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = format!("sqlite:{}", directory.path().join("shop.db").display());
    eventually("no store call times out", async || {
        let shops = [shop(&store).await, shop(&store).await];
        count_together(&shops).await.then_some(())
    })
    .await;
}

/// Returns `false` if a store call has timed out, as on a busy machine. It is unknown whether that request has counted.
async fn count_together(shops: &[App; 2]) -> bool {
    let client = Client::new(shops[0].address());
    add(&client, PRODUCTS[0]).await;
    let mut requests = JoinSet::new();
    for number in 0..100 {
        let client = client.at(shops[number % 2].address());
        let product = PRODUCTS[number % PRODUCTS.len()];
        requests.spawn(async move { add(&client, product).await.status.as_u16() });
    }
    let statuses = requests.join_all().await;
    let is_late = |shop: &App| shop.output().contains("did not respond in time");
    if statuses.contains(&503) && shops.iter().any(is_late) {
        return false;
    }
    assert_eq!(statuses, [200; 100]);
    assert_eq!(items(&client).await, 101, "each request counts");
    assert_eq!(items(&client.at(shops[1].address())).await, 101);
    true
}
