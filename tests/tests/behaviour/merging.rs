//! Two requests that change the session at the same time. The unit tests of `changes` and `lifecycle` prove the rules
//! of a merge.

use std::time::Duration;

use crate::support::{Act, App, Browser};

/// Runs both handlers on the same version of a session, and saves the second before the first.
async fn meet(before: Act, first: Act, second: Act) -> (App, Browser) {
    let app = App::new();
    let alice = app.browser();
    alice.does(before).await;
    let slow = alice.start_does(first).await;
    assert_eq!(alice.does(second).await.status, 200);
    assert_eq!(slow.finish().await.status, 200);
    (app, alice)
}

/// Conformance 2.1, 3.4
#[tokio::test]
async fn a_flash_value_is_consumed_only_if_it_was_read() {
    let set_first: Act = |s| s.set_notice("first".into()).expect("it fits");
    let set_second: Act = |s| s.set_notice("second".into()).expect("it fits");
    let read: Act = |session| {
        let notice = session.notice().expect("it decodes");
        assert_eq!(notice.as_deref(), Some("first"));
    };
    let (_, alice) = meet(set_first, read, set_second).await;
    let notice = alice.ask(|s| Ok(s.notice()?)).await;
    assert_eq!(notice.as_deref(), Some("second"), "no request has read it");

    let (_, alice) = meet(set_first, read, read).await;
    assert_eq!(alice.ask(|s| Ok(s.notice()?)).await, None);
}

/// Conformance 2.1
#[tokio::test]
async fn an_idle_timeout_and_a_change_of_a_value_are_both_kept() {
    let set_cart: Act = |s| s.set_cart(vec!["tea".into()]).expect("it fits");
    let set_timeout: Act = |s| s.set_idle_timeout(Duration::from_mins(1));
    let set_user: Act = |s| s.set_user(7).expect("it fits");
    let (app, alice) = meet(set_cart, set_timeout, set_user).await;
    app.pass(Duration::from_secs(59));
    assert_eq!(alice.fork().user().await, Some(7));
    app.pass(Duration::from_mins(1));
    assert_eq!(alice.user().await, None);
}
