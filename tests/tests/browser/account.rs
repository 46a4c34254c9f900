//! Sign-out.

use super::{driver::Browser, shop};

/// Conformance 5.4, 5.9
#[tokio::test]
async fn after_a_sign_out_neither_another_tab_nor_the_history_shows_the_account() {
    let Some(browser) = Browser::open().await else {
        return;
    };
    let shop = shop("memory").await;
    browser.sign_in(&shop.url("/login")).await;
    let other = browser.tab().await;
    let first = browser.new_tab().await;
    browser.visit(&shop.url("/dashboard")).await;
    browser.click("main form button").await;
    assert_eq!(browser.path().await, "/");
    let goodbye = browser.text(".notice").await;
    assert!(goodbye.starts_with("Goodbye"), "{goodbye}");
    browser.back().await;
    browser.arrive("/login").await;
    assert_eq!(browser.text("h1").await, "Sign in");

    browser.switch(&other).await;
    browser.reload().await;
    assert_eq!(browser.path().await, "/login");
    browser.switch(&first).await;
    browser.visit(&shop.url("/dashboard")).await;
    assert_eq!(browser.path().await, "/login");
}

/// Conformance 5.4
#[tokio::test]
async fn a_double_click_on_sign_out_ends_on_the_home_page() {
    let Some(browser) = Browser::open().await else {
        return;
    };
    let shop = shop("memory").await;
    for _ in 0..3 {
        browser.sign_in(&shop.url("/login")).await;
        browser.double_click("main form button").await;
        browser.arrive("/").await;
        assert_eq!(browser.text("h1").await, "For people who still write");
        browser.visit(&shop.url("/dashboard")).await;
        assert_eq!(browser.path().await, "/login", "signed out");
        // The second click may cancel the first response, so that the browser keeps the id of the ended session.
        // Writes with that id are refused for a few seconds (`retired_for`).
        browser.forget().await;
    }
    assert_eq!(browser.errors().await, [""; 0]);
}
