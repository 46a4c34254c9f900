//! Over a real socket: streams that outlive their handler, and clients that go away.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt, stream};
use poem::{
    EndpointExt, IntoResponse, Response, Route, get, handler,
    web::{
        Data,
        sse::{Event, SSE},
        websocket::{Message, WebSocket},
    },
};
use poem_session::{SaveError, Session};
use tokio::sync::{Mutex, Notify, oneshot};
use tokio_tungstenite::tungstenite::{self, client::IntoClientRequest};

use crate::support::{App, COOKIE, Op, PATIENCE, Served, Shop, settings};

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

/// Does what each message says and answers how it went.
#[handler]
async fn talk(shop: Session<Shop>, socket: WebSocket) -> impl IntoResponse {
    socket.on_upgrade(move |mut socket| async move {
        while let Some(Ok(Message::Text(order))) = socket.next().await {
            match order.as_str() {
                "count" => shop.update_visits(|visits| *visits += 1).expect("it fits"),
                "regenerate" => shop.regenerate(),
                "reset" => shop.reset(),
                "destroy" => shop.destroy(),
                "ended" => shop.ended().await,
                order => panic!("{order}"),
            }
            let answer = match shop.save().await {
                Ok(()) => "saved".to_owned(),
                Err(SaveError::Ended) => "ended".to_owned(),
                Err(error) => error.to_string(),
            };
            if socket.send(Message::text(answer)).await.is_err() {
                break;
            }
        }
    })
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
    let answer = socket.next().await.expect("an answer").expect("no error");
    answer.into_text().expect("text").to_string()
}

/// Conformance 1.32
#[tokio::test]
async fn a_web_socket_saves_changes_made_after_the_upgrade() {
    let app = App::serving(routes(), settings);
    let server = Served::start(app.endpoint()).await;
    let alice = server.client();
    alice.get("/begin").send().await;
    let mut socket = connect(&server, alice.cookie(COOKIE)).await;
    assert_eq!(order(&mut socket, "count").await, "saved");
    assert_eq!(alice.get("/visits").send().await.text(), "2");
    assert_eq!(order(&mut socket, "count").await, "saved");
    assert_eq!(alice.get("/visits").send().await.text(), "3");
}

/// Conformance 1.32
#[tokio::test]
async fn a_web_socket_merges_with_requests_beside_it() {
    let app = App::serving(routes(), settings);
    let server = Served::start(app.endpoint()).await;
    let alice = server.client();
    alice.get("/begin").send().await;
    let mut one = connect(&server, alice.cookie(COOKIE)).await;
    let mut two = connect(&server, alice.cookie(COOKIE)).await;
    for _ in 0..5 {
        assert_eq!(order(&mut one, "count").await, "saved");
        assert_eq!(order(&mut two, "count").await, "saved");
    }
    assert_eq!(alice.get("/visits").send().await.text(), "11");
}

/// Conformance 1.32
#[tokio::test]
async fn after_the_upgrade_no_session_can_begin_or_move_to_an_id_that_nobody_would_learn() {
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
        let visits = alice.get("/visits").send().await.text();
        assert_eq!(visits, "1", "{change}: she is still signed in");
    }
}

/// Conformance 1.32
#[tokio::test]
async fn a_web_socket_can_end_its_session() {
    let app = App::serving(routes(), settings);
    let server = Served::start(app.endpoint()).await;
    let alice = server.client();
    alice.get("/begin").send().await;
    let mut socket = connect(&server, alice.cookie(COOKIE)).await;
    assert_eq!(order(&mut socket, "destroy").await, "saved");
    assert_eq!(alice.get("/visits").send().await.text(), "0");
    assert!(app.store.sessions(app.now()).await.is_empty());
}

/// Conformance 1.32, 5.4
#[tokio::test]
async fn a_web_socket_learns_that_its_session_has_ended_and_cannot_bring_it_back() {
    let app = App::serving(routes(), settings);
    let server = Served::start(app.endpoint()).await;
    let alice = server.client();
    alice.get("/begin").send().await;
    let mut socket = connect(&server, alice.cookie(COOKIE)).await;
    let waiting = tokio::spawn(async move {
        let answer = order(&mut socket, "ended").await;
        (socket, answer)
    });
    alice.get("/sign-out").send().await;
    let (mut socket, answer) = waiting.await.expect("no panic");
    assert!(["saved", "ended"].contains(&answer.as_str()), "{answer}");
    assert_eq!(order(&mut socket, "count").await, "ended");
    assert!(app.store.sessions(app.now()).await.is_empty());
}

/// Conformance 1.32
#[tokio::test]
async fn a_session_that_begins_before_the_upgrade_comes_with_it() {
    #[handler]
    async fn welcome(shop: Session<Shop>, socket: WebSocket) -> poem::Result<Response> {
        shop.set_visits(1)?;
        let upgrade = socket.on_upgrade(move |mut socket| async move {
            shop.update_visits(|visits| *visits += 1).expect("it fits");
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
    let saved = socket.next().await.expect("an answer").expect("no error");
    assert_eq!(saved.into_text().expect("text").as_str(), "true");
    assert_eq!(saved_visits(&app).await, [2]);
}

/// Conformance 1.32, 5.4
#[tokio::test(start_paused = true)]
async fn who_waits_for_the_end_learns_of_one_by_the_same_request() {
    let app = App::new();
    let session = app.sessions.create::<Shop>().expect("no key clashes");
    session.save().await.expect("the store works");
    let waiter = session.clone();
    let waiting = tokio::spawn(async move { waiter.ended().await });
    tokio::task::yield_now().await;
    session.destroy();
    session.save().await.expect("the store works");
    let minute = std::time::Duration::from_mins(1);
    let told = tokio::time::timeout(minute, waiting).await;
    told.expect("it is told").expect("no panic");
}

/// What an event stream waits for before each event.
#[derive(Clone, Default)]
struct Turns(Arc<Notify>);

#[handler]
async fn events(shop: Session<Shop>, turns: Data<&Turns>) -> SSE {
    let turns = turns.0.clone();
    SSE::new(stream::unfold((shop, turns), |(shop, turns)| async move {
        turns.0.notified().await;
        shop.update_visits(|visits| *visits += 1).expect("it fits");
        let event = match shop.save().await {
            Ok(()) => "saved".to_owned(),
            Err(error) => error.to_string(),
        };
        Some((Event::message(event), (shop, turns)))
    }))
}

/// Conformance 1.32
#[tokio::test]
async fn an_event_stream_saves_changes_made_after_the_head_was_sent() {
    let turns = Turns::default();
    let routes = routes().at("/events", get(events)).data(turns.clone());
    let app = App::serving(routes, settings);
    let server = Served::start(app.endpoint()).await;
    let alice = server.client();
    alice.get("/begin").send().await;
    let mut stream = alice.get("/events").stream().await;
    for count in 2..5 {
        turns.0.notify_one();
        let event = stream.next().await.expect("no cut").expect("an event");
        let event = String::from_utf8_lossy(&event).into_owned();
        assert!(event.contains("data: saved"), "{event}");
        let visits = alice.get("/visits").send().await.text();
        assert_eq!(visits, count.to_string());
    }
}

/// Conformance 1.28
#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_does_not_abort_a_save_half_way() {
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
        // The save goes on by itself: let it come to its end.
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
async fn a_client_that_goes_away_before_the_handler_is_done_changes_nothing() {
    let app = App::new();
    let alice = app.browser();
    alice.act(|s| Ok(s.set_user(7)?)).await;
    app.store.calls();
    let request = alice.start(|s| Ok(s.set_user(8)?)).await;
    request.abandon().await;
    assert_eq!(app.store.calls(), [Op::Load]);
    assert_eq!(alice.ask(|s| Ok(s.user()?)).await, Some(7));
}

/// A handler's way to tell the test that it has saved, which is all that is left of its request.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Option<oneshot::Sender<()>>>>);

#[handler]
async fn slow(shop: Session<Shop>, told: Data<&Told>) -> poem::Result<Response> {
    shop.update_visits(|visits| *visits += 10)?;
    if let Some(told) = told.0.0.lock().await.take() {
        let _ = told.send(());
    }
    shop.save().await?;
    std::future::pending().await
}

/// Conformance 1.28
#[tokio::test]
async fn a_connection_cut_during_a_save_loses_nothing() {
    let told = Told::default();
    let routes = routes().at("/slow", get(slow)).data(told.clone());
    // The save may be held up for as long as the machine is busy.
    let app = App::serving(routes, |builder| builder.store_timeout(PATIENCE));
    let server = Served::start(app.endpoint()).await;
    let alice = server.client();
    alice.get("/begin").send().await;
    let (tell, saving) = oneshot::channel();
    *told.0.lock().await = Some(tell);
    let mut save = app.store.pause(Op::Replace);
    let tab = alice.clone();
    let request = tokio::spawn(async move { tab.get("/slow").try_send().await });
    saving.await.expect("the handler runs");
    save.arrived().await;
    request.abort();
    let _ = request.await;
    save.release();
    // The next save waits for its turn behind the one that was cut, or merges with it.
    alice.get("/visits").send().await;
    let mut visits = String::new();
    for _ in 0..1000 {
        visits = alice.get("/visits").send().await.text();
        if visits == "11" {
            break;
        }
    }
    assert_eq!(visits, "11");
}
