//! Settings in code and in a file, and settings that are refused.

use std::time::Duration;

use poem_session::{
    BuildError, CookieConfig, IdSource, SameSite, Session, SessionConfig, Sessions,
    SessionsBuilder, TouchPolicy, store::MemoryStore,
};

use crate::support::{App, Op};

const SECOND: Duration = Duration::from_secs(1);

type Configure = fn(SessionsBuilder) -> SessionsBuilder;

fn refused(configure: impl FnOnce(SessionsBuilder) -> SessionsBuilder) -> String {
    configure(Sessions::builder(MemoryStore::new()))
        .build()
        .expect_err("it is invalid")
        .to_string()
}

/// Conformance 1.17, 5.3
#[test]
fn the_error_of_a_contradiction_names_both_settings() {
    let cases: [(&str, &str, Configure); 5] = [
        ("lock_lease", "store_timeout", |builder| {
            builder.lock_lease(SECOND * 10).store_timeout(SECOND * 7)
        }),
        ("idle_timeout", "absolute_timeout", |builder| {
            builder.idle_timeout(SECOND * 10).absolute_timeout(SECOND)
        }),
        ("touch", "idle_timeout", |builder| {
            builder
                .idle_timeout(SECOND)
                .touch(TouchPolicy::AtMostEvery(SECOND * 10))
        }),
        ("rotate_every", "rotation_grace", |builder| {
            builder.rotate_every(SECOND).rotation_grace(SECOND * 10)
        }),
        // The unit tests of `cookie` prove the other rules of the cookie.
        ("same_site", "insecure_http", |builder| {
            let cookie = CookieConfig::new("sid").insecure_http();
            builder.cookie(cookie.same_site(SameSite::None))
        }),
    ];
    for (first, second, configure) in cases {
        let error = refused(configure);
        assert!(error.contains(first) && error.contains(second), "{error}");
    }
}

/// Conformance 1.17, 5.8, 5.11
#[test]
fn the_error_of_an_invalid_setting_names_the_setting() {
    let cases: [(&str, Configure); 13] = [
        ("idle_timeout", |b| b.idle_timeout(Duration::ZERO)),
        ("absolute_timeout", |b| b.absolute_timeout(Duration::ZERO)),
        ("flash_timeout", |b| b.flash_timeout(Duration::ZERO)),
        ("store_timeout", |b| b.store_timeout(Duration::ZERO)),
        ("retired_for", |b| b.retired_for(Duration::ZERO)),
        ("lock_timeout", |b| b.lock_timeout(Duration::ZERO)),
        ("lock_lease", |b| b.lock_lease(Duration::ZERO)),
        ("max_session_size", |b| b.max_session_size(0)),
        ("max_session_size", |b| {
            b.max_session_size(8 * 1024 * 1024 + 1)
        }),
        ("max_value_size", |b| b.max_value_size(0)),
        ("max_keys", |b| b.max_keys(0)),
        ("max_save_attempts", |b| b.max_save_attempts(0)),
        ("cookie name", |b| b.cookie(CookieConfig::new("a b"))),
    ];
    for (name, configure) in cases {
        let error = refused(configure);
        assert!(error.contains(name), "{name}: {error}");
    }
}

/// Conformance 5.11
#[tokio::test]
async fn the_longest_duration_works_in_every_setting() {
    const MAX: Duration = Duration::MAX;
    let cases: [Configure; 12] = [
        |b| b.idle_timeout(MAX).no_absolute_timeout(),
        |b| b.absolute_timeout(MAX),
        |b| {
            b.idle_timeout(MAX)
                .absolute_timeout(MAX)
                .touch(TouchPolicy::AtMostEvery(MAX / 2))
        },
        |b| b.store_timeout(MAX).lock_lease(MAX),
        |b| b.retired_for(MAX),
        |b| b.max_request_time(MAX),
        |b| b.rotate_every(MAX),
        |b| b.rotation_grace(MAX),
        |b| b.rotate_every(MAX).rotation_grace(MAX / 2),
        |b| b.lock_timeout(MAX),
        |b| b.lock_lease(MAX),
        |b| b.end_poll_interval(MAX),
    ];
    for configure in cases {
        let app = App::with(configure);
        let sweeper = app.sessions.sweep_every(MAX);
        let alice = app.sign_in().await;
        // A call that is not ready at once starts the timers.
        let mut load = app.store.pause(Op::Load);
        let (user, ()) = tokio::join!(alice.user(), async {
            load.arrived().await;
            load.release();
        });
        assert_eq!(user, Some(7));
        let session = app.open(&alice).await;
        let mut lock = app.store.pause(Op::Lock);
        let (locked, ()) = tokio::join!(session.lock(), async {
            lock.arrived().await;
            lock.release();
        });
        session.set_idle_timeout(MAX);
        session.set_user(8).expect("it fits");
        let mut save = app.store.pause(Op::Replace);
        let (saved, ()) = tokio::join!(session.save(), async {
            save.arrived().await;
            save.release();
        });
        saved.expect("the store works");
        drop(locked.expect("nobody holds it"));
        let watch = app.open(&alice).await;
        let ended = tokio::spawn(async move { watch.ended().await });
        app.pass(Duration::from_secs(1));
        assert_eq!(alice.user().await, Some(8));
        alice.does(Session::regenerate).await;
        alice.does(Session::destroy).await;
        ended.await.expect("no panic");
        assert_eq!(alice.user().await, None);
        drop(sweeper);
    }
}

/// Conformance 1.18
#[test]
fn invalid_id_sources_are_refused() {
    for source in [
        IdSource::Header(String::new()),
        IdSource::Header("a b".into()),
        IdSource::Header("Cookie".into()),
        IdSource::Header("set-cookie".into()),
        IdSource::Header("Authorization".into()),
        IdSource::Header("Content-Length".into()),
        IdSource::Header("Host".into()),
        IdSource::Header("Location".into()),
        IdSource::Authorization(String::new()),
        IdSource::Authorization("Bearer ".into()),
        IdSource::Query(String::new()),
        IdSource::Path(String::new()),
        IdSource::Form(String::new()),
        IdSource::Chain(vec![]),
        IdSource::Chain(vec![IdSource::Chain(vec![])]),
    ] {
        let name = format!("{source:?}");
        let error = refused(|builder| builder.id_source(source));
        assert!(error.contains("id_source"), "{name}: {error}");
    }
}

fn config(json: &str) -> SessionConfig {
    serde_json::from_str(json).expect("it is a configuration")
}

/// Conformance 1.5, 1.17, 1.18
#[tokio::test]
async fn settings_from_a_file_apply() {
    let app = App::with(|builder| {
        builder.config(config(
            r#"{
                "idle_timeout": "20m",
                "absolute_timeout": "1h 30m",
                "touch": "1m",
                "cookie": { "name": "sid", "same_site": "strict", "path": "/app" },
                "id_source": [{ "header": "X-Session" }, "cookie"],
                "clear_site_data": ["cache"],
                "max_session_size": 300
            }"#,
        ))
    });
    let alice = app.browser();
    let reply = alice.act(|s| Ok(s.set_user(7)?)).await;
    assert!(reply.header("x-session").is_some());
    let id = reply.header("x-session").expect("a new session").to_owned();
    alice.set_cookie("__Secure-sid", &id);
    app.store.calls();
    app.pass(SECOND * 60);
    let reply = alice.act(|s| Ok(format!("{:?}", s.user()?))).await;
    assert_eq!(app.store.calls(), [Op::Load, Op::Touch]);
    let cookie = reply.cookie().expect("the expiry has moved");
    assert_eq!(cookie.name(), "__Secure-sid");
    assert_eq!(cookie.path(), Some("/app"));
    assert_eq!(reply.max_age(), Some(SECOND * 1200));
    let reply = alice.act(|s| Ok(s.set_notice("x".repeat(400))?)).await;
    assert_eq!(reply.status, 413);
    let reply = alice.does(poem_session::Session::destroy).await;
    assert_eq!(reply.header("clear-site-data"), Some("\"cache\""));
}

/// Conformance 1.17
#[test]
fn an_empty_file_sets_the_defaults_and_a_mistake_in_a_file_is_an_error() {
    let app = |json: &str| {
        Sessions::builder(MemoryStore::new())
            .config(config(json))
            .build()
    };
    assert!(app("{}").is_ok());
    for wrong in [
        r#"{ "idle_timout": "20m" }"#,
        r#"{ "idle_timeout": "soon" }"#,
        r#"{ "idle_timeout": 20 }"#,
        r#"{ "idle_timeout": "none" }"#,
        r#"{ "absolute_timeout": "never" }"#,
        r#"{ "cookie": { "htttp_only": true } }"#,
        r#"{ "cookie": { "same_site": "sometimes" } }"#,
        r#"{ "id_source": ["cokie"] }"#,
    ] {
        assert!(
            serde_json::from_str::<SessionConfig>(wrong).is_err(),
            "{wrong}"
        );
    }
    let built = app(r#"{ "idle_timeout": "2h", "absolute_timeout": "1h" }"#);
    assert!(matches!(built, Err(BuildError::Contradiction { .. })));
}

/// Some formats, such as TOML, have no `null`.
///
/// Conformance 1.17
#[test]
fn a_file_turns_a_limit_off() {
    for off in [r#""none""#, "null"] {
        let config = config(&format!(
            r#"{{ "absolute_timeout": {off}, "rotate_every": {off} }}"#
        ));
        assert_eq!(config.absolute_timeout, None, "{off}");
        assert_eq!(config.rotate_every, None, "{off}");
    }
}
