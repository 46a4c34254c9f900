//! The requests of an application's visitors during and after an outage of its database.

use futures_util::future::join_all;
use poem_session::Session;
use poem_session_tests::application::{Act, App, Browser, Shop, count};

/// The handlers of all requests.
pub(crate) const ALL: [Act; 4] = [look, count, Session::regenerate, Session::destroy];
/// The handlers of the requests that write to the store.
pub(crate) const WRITES: [Act; 3] = [count, Session::regenerate, Session::destroy];

/// Loads the session.
fn look(_: &Session<Shop>) {}

/// Sends these requests at once, and one of a stranger. All fail, and none changes a cookie.
pub(crate) async fn refuses(app: &App, guest: &Browser, acts: &[Act]) {
    let requests = acts.iter().map(|act| (guest.clone(), *act));
    let requests = requests.chain([(app.browser(), count as Act)]);
    let replies = requests.map(|(visitor, act)| async move { visitor.does(act).await });
    for reply in join_all(replies).await {
        reply.assert_refused();
    }
}

/// The session of a visitor who has signed in is unchanged.
pub(crate) async fn is_unchanged(guest: &Browser) {
    let session = guest.ask(|s| Ok((s.user()?, s.visits()?))).await;
    assert_eq!(session, (Some(7), 0));
}

/// The session of a visitor who has signed in is unchanged, and every request works.
pub(crate) async fn goes_on(guest: &Browser) {
    is_unchanged(guest).await;
    for (act, expected) in [
        (count as Act, (Some(7), 1)),
        (Session::regenerate, (Some(7), 1)),
        (Session::destroy, (None, 0)),
    ] {
        assert_eq!(guest.does(act).await.status, 200);
        let session = guest.ask(|s| Ok((s.user()?, s.visits()?))).await;
        assert_eq!(session, expected);
    }
}
