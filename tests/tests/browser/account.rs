//! Sign-in and sign-out.

use poem_session_tests::http::Client;
use thirtyfour::Cookie;

use super::{driver::Browser, shop};

/// Conformance 5.2
#[tokio::test]
async fn a_sign_in_keeps_the_cart_under_a_new_id() {
    let Some(browser) = Browser::open().await else {
        return;
    };
    let shop = shop("memory").await;
    browser.visit(&shop.url("/")).await;
    browser.click("form:has([value=heron-pen]) button").await;
    let before = browser.cookie("id").await.expect("a session");
    browser.sign_in(&shop.url("/login")).await;
    let notice = browser.text(".notice").await;
    assert!(notice.starts_with("Welcome back"), "{notice}");
    let after = browser.cookie("id").await.expect("a session");
    assert_ne!(before.value, after.value);
    assert!(browser.has("a.cart .count:not(.none)").await, "the cart");
}

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

/// Conformance 1.2, 5.2
#[tokio::test]
async fn a_sign_in_replaces_an_id_that_an_attacker_planted() {
    let Some(browser) = Browser::open().await else {
        return;
    };
    let shop = shop("memory").await;
    let attacker = Client::new(shop.address());
    let form = [("product_id", "heron-pen")];
    attacker.post("/cart/add").form(&form).send().await;
    let real = attacker.cookie("id").expect("a session");
    for planted in [real, "A".repeat(43)] {
        browser.visit(&shop.url("/style.css")).await;
        assert!(browser.plant(Cookie::new("id", planted.clone())).await);
        browser.sign_in(&shop.url("/login")).await;
        let id = browser.cookie("id").await.expect("a session").value;
        assert_ne!(id, planted);
        let header = format!("id={planted}");
        let page = attacker.get("/dashboard").header("cookie", &header);
        assert_eq!(page.send().await.header("location"), Some("/login"));
        browser.visit(&shop.url("/dashboard")).await;
        assert_eq!(browser.path().await, "/dashboard");
        browser.click("main form button").await;
    }
}
