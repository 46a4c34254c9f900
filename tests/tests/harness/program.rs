//! Programs run beside the tests.

use poem_session_tests::process::App;

/// A program that says where it would listen, and then does what it is told on Ctrl-C.
async fn script(on_interrupt: &str) -> App {
    let script = format!(
        "trap '{on_interrupt}' INT; echo starting; echo Listening on http://127.0.0.1:4100.; \
         echo details >&2; while :; do sleep 0.05; done"
    );
    // Run in the background of a script, tests inherit that Ctrl-C is ignored, and `sh` could not trap it.
    let arguments = ["--default-signal=INT", "/bin/sh", "-c", &script];
    App::run("/usr/bin/env".into(), &arguments).await
}

#[tokio::test]
async fn the_address_is_the_one_that_it_printed() {
    let app = script("exit 0").await;
    assert_eq!(app.address().to_string(), "127.0.0.1:4100");
    assert_eq!(app.url("/cart"), "http://127.0.0.1:4100/cart");
    while !app.output().ends_with("details\n") {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        app.output(),
        "starting\nListening on http://127.0.0.1:4100.\ndetails\n"
    );
}

#[tokio::test]
async fn ctrl_c_ends_it_as_it_chooses() {
    let app = script("echo bye; exit 3").await;
    assert_eq!(app.interrupt().await.code(), Some(3));
    assert!(app.output().ends_with("bye\n"));
}

#[tokio::test]
async fn a_kill_leaves_it_no_choice() {
    let app = script("echo bye; exit 0").await;
    let process = format!("/proc/{}", app.pid());
    app.kill().await;
    assert!(!std::path::Path::new(&process).exists());
    assert!(!app.output().contains("bye"));
}

#[tokio::test]
#[should_panic(expected = "/bin/sh ended: no port is free")]
async fn one_that_ends_instead_is_reported_with_what_it_said() {
    App::run(
        "/bin/sh".into(),
        &["-c", "echo no port is free >&2; exit 1"],
    )
    .await;
}
