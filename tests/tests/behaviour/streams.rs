//! WebSockets and event streams, and clients that disconnect, over a socket.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt, stream};
use poem::{
    Endpoint, EndpointExt, IntoEndpoint, IntoResponse, Response, Route, get, handler,
    web::{
        Data,
        sse::{Event, SSE},
        websocket::{Message, WebSocket},
    },
};
use poem_session::{SaveError, Session};
use poem_session_tests::http::Client;
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::{self, client::IntoClientRequest};

use crate::support::{App, COOKIE, Op, PATIENCE, Served, Shop, count, settings};

#[handler]
async fn show_visits(shop: Session<Shop>) -> poem::Result<String> {
    Ok(shop.visits()?.to_string())
}

#[handler]
async fn begin(shop: Session<Shop>) -> poem::Result<()> {
    Ok(shop.set_visits(1)?)
}

#[handler]
async fn sign_out(shop: Session<Shop>) {
    shop.destroy();
}

/// Does what each message says and sends the result of the save.
#[handler]
async fn talk(shop: Session<Shop>, socket: WebSocket) -> impl IntoResponse {
    socket.on_upgrade(move |mut socket| async move {
        while let Some(Ok(Message::Text(order))) = socket.next().await {
            match order.as_str() {
                "count" => count(&shop),
                "regenerate" => shop.regenerate(),
                "reset" => shop.reset(),
                "destroy" => shop.destroy(),
                "ended" => shop.ended().await,
                order => panic!("{order}"),
            }
            let reply = match shop.save().await {
                Ok(()) => "saved".to_owned(),
                Err(SaveError::Ended) => "ended".to_owned(),
                Err(error) => error.to_string(),
            };
            if socket.send(Message::text(reply)).await.is_err() {
                break;
            }
        }
    })
}

/// An application with these routes, and a client with a session.
async fn begun(routes: impl IntoEndpoint<Endpoint: Endpoint + 'static>) -> (App, Served, Client) {
    // A busy machine may hold a save up.
    let app = App::serving(routes, |builder| {
        builder.store_timeout(PATIENCE).lock_lease(PATIENCE * 2)
    });
    let server = Served::start(app.endpoint()).await;
    let alice = server.client();
    alice.get("/begin").send().await;
    (app, server, alice)
}

async fn visits(client: &Client) -> String {
    client.get("/visits").send().await.body
}

fn routes() -> Route {
    Route::new()
        .at("/visits", get(show_visits))
        .at("/begin", get(begin))
        .at("/sign-out", get(sign_out))
        .at("/socket", get(talk))
}

type Socket =
    tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

async fn connect(server: &Served, id: Option<String>) -> Socket {
    let mut request = format!("ws://{}/socket", server.address())
        .into_client_request()
        .expect("a request");
    if let Some(id) = id {
        let cookie = format!("{COOKIE}={id}").parse().expect("a header value");
        request.headers_mut().insert("cookie", cookie);
    }
    let (socket, _) = tokio_tungstenite::connect_async(request)
        .await
        .expect("the server upgrades");
    socket
}

async fn order(socket: &mut Socket, order: &str) -> String {
    socket
        .send(tungstenite::Message::text(order))
        .await
        .expect("it is open");
    let reply = socket.next().await.expect("an reply").expect("no error");
    reply.into_text().expect("text").to_string()
}

/// Conformance 1.32, 2.1
#[tokio::test]
async fn web_sockets_save_changes_and_destroy_the_session_after_the_upgrade() {
    let (app, server, alice) = begun(routes()).await;
    let mut one = connect(&server, alice.cookie(COOKIE)).await;
    let mut two = connect(&server, alice.cookie(COOKIE)).await;
    for count in [3, 5, 7] {
        assert_eq!(order(&mut one, "count").await, "saved");
        assert_eq!(order(&mut two, "count").await, "saved");
        assert_eq!(visits(&alice).await, count.to_string());
    }
    assert_eq!(order(&mut one, "destroy").await, "saved");
    assert_eq!(visits(&alice).await, "0");
    assert!(app.store.sessions(app.now()).await.is_empty());
}

/// Conformance 1.32
#[tokio::test]
async fn after_the_upgrade_no_session_can_start_or_get_a_new_id() {
    let app = App::serving(routes(), settings);
    let server = Served::start(app.endpoint()).await;
    let mut stranger = connect(&server, None).await;
    let refused = order(&mut stranger, "count").await;
    assert!(refused.contains("already been sent"), "{refused}");
    assert!(app.store.records(app.now()).await.is_empty());

    for change in ["regenerate", "reset"] {
        let alice = server.client();
        alice.get("/begin").send().await;
        let mut socket = connect(&server, alice.cookie(COOKIE)).await;
        let refused = order(&mut socket, change).await;
        assert!(refused.contains("already been sent"), "{change}: {refused}");
        assert_eq!(visits(&alice).await, "1", "{change}: the session lives");
    }
}

/// Conformance 1.32, 5.4
#[tokio::test]
async fn ended_returns_in_a_web_socket_and_a_later_save_is_refused() {
    let (app, server, alice) = begun(routes()).await;
    let mut socket = connect(&server, alice.cookie(COOKIE)).await;
    let waiting = tokio::spawn(async move {
        let reply = order(&mut socket, "ended").await;
        (socket, reply)
    });
    alice.get("/sign-out").send().await;
    let (mut socket, reply) = waiting.await.expect("no panic");
    assert!(["saved", "ended"].contains(&reply.as_str()), "{reply}");
    assert_eq!(order(&mut socket, "count").await, "ended");
    assert!(app.store.sessions(app.now()).await.is_empty());
}

/// Conformance 1.32
#[tokio::test]
async fn a_session_that_starts_before_the_upgrade_is_sent_with_the_response() {
    #[handler]
    async fn welcome(shop: Session<Shop>, socket: WebSocket) -> poem::Result<Response> {
        shop.set_visits(1)?;
        let upgrade = socket.on_upgrade(move |mut socket| async move {
            count(&shop);
            let saved = shop.save().await.is_ok();
            let _ = socket.send(Message::text(saved.to_string())).await;
        });
        Ok(upgrade.into_response())
    }

    let app = App::serving(Route::new().at("/socket", get(welcome)), settings);
    let server = Served::start(app.endpoint()).await;
    let url = format!("ws://{}/socket", server.address());
    let (mut socket, head) = tokio_tungstenite::connect_async(url)
        .await
        .expect("the server upgrades");
    let cookie = head.headers().get("set-cookie").expect("a new session");
    assert!(
        cookie
            .to_str()
            .is_ok_and(|cookie| cookie.starts_with(COOKIE))
    );
    let saved = socket.next().await.expect("an reply").expect("no error");
    assert_eq!(saved.into_text().expect("text").as_str(), "true");
    assert_eq!(saved_visits(&app).await, [2]);
}

/// Conformance 1.32, 5.4
#[tokio::test(start_paused = true)]
async fn ended_returns_after_an_end_by_the_same_handle() {
    let app = App::new();
    let session = app.create();
    session.save().await.expect("the store works");
    let waiter = session.clone();
    let waiting = tokio::spawn(async move { waiter.ended().await });
    tokio::task::yield_now().await;
    session.destroy();
    session.save().await.expect("the store works");
    let minute = std::time::Duration::from_mins(1);
    let ended = tokio::time::timeout(minute, waiting).await;
    ended.expect("it returns").expect("no panic");
}

/// Notified before each event.
#[derive(Clone, Default)]
struct Turns(Arc<Notify>);

#[handler]
async fn events(shop: Session<Shop>, turns: Data<&Turns>) -> SSE {
    let turns = turns.0.clone();
    SSE::new(stream::unfold((shop, turns), |(shop, turns)| async move {
        turns.0.notified().await;
        count(&shop);
        let event = match shop.save().await {
            Ok(()) => "saved".to_owned(),
            Err(error) => error.to_string(),
        };
        Some((Event::message(event), (shop, turns)))
    }))
}

/// Conformance 1.32
#[tokio::test]
async fn an_event_stream_saves_changes_after_the_headers_were_sent() {
    let turns = Turns::default();
    let routes = routes().at("/events", get(events)).data(turns.clone());
    let (_app, _server, alice) = begun(routes).await;
    let mut stream = alice.get("/events").stream().await;
    for count in 2..5 {
        turns.0.notify_one();
        let event = stream
            .chunk()
            .await
            .expect("the stream lives")
            .expect("an event");
        let event = String::from_utf8_lossy(&event).into_owned();
        assert!(event.contains("data: saved"), "{event}");
        assert_eq!(visits(&alice).await, count.to_string());
    }
}

/// Conformance 1.28
#[tokio::test(start_paused = true)]
async fn a_client_that_disconnects_does_not_abort_a_save() {
    for op in [Op::Create, Op::Replace, Op::Rename] {
        let app = App::new();
        let alice = app.browser();
        if op != Op::Create {
            alice.act(|s| Ok(s.set_user(7)?)).await;
        }
        let mut save = app.store.pause(op);
        let request = alice
            .start(move |session| {
                if op == Op::Rename {
                    session.regenerate();
                }
                Ok(session.set_visits(1)?)
            })
            .await;
        let request = request.release();
        save.arrived().await;
        request.abort();
        assert!(request.await.expect_err("it is gone").is_cancelled());
        save.release();
        // The save runs in a task of its own.
        let mut turns = 0;
        while saved_visits(&app).await != [1] {
            tokio::task::yield_now().await;
            turns += 1;
            assert!(turns < 1000, "{op:?} was aborted");
        }
    }
}

async fn saved_visits(app: &App) -> Vec<u8> {
    let sessions = app.store.sessions(app.now()).await;
    let values = sessions.iter().filter_map(|(_, record)| {
        let name = b"shop.visits";
        let at = record.data.windows(name.len()).position(|w| w == name)?;
        record.data.get(at + name.len()).copied()
    });
    values.collect()
}

/// Conformance 1.28
#[tokio::test]
async fn a_client_that_disconnects_before_the_end_of_the_handler_changes_nothing() {
    let app = App::new();
    let alice = app.sign_in().await;
    app.store.calls();
    let request = alice.start(|s| Ok(s.set_user(8)?)).await;
    request.abandon().await;
    assert_eq!(app.store.calls(), [Op::Load]);
    assert_eq!(alice.user().await, Some(7));
}
