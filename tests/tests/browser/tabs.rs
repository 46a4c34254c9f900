//! Tabs that act at the same moment.

use super::{driver::Browser, shop};

/// How often they meet.
const ROUNDS: usize = 5;

/// From now on the form in this tab is sent when another tab says so.
async fn wait_for_the_word(browser: &Browser, form: &str) {
    let script = format!(
        "const form = document.querySelector('{form}');
        new BroadcastChannel('word').onmessage = () => form.requestSubmit();"
    );
    browser.script(&script).await;
}

async fn give_the_word(browser: &Browser) {
    let script = "new BroadcastChannel('word').postMessage('now')";
    browser.script(script).await;
}

/// Conformance 2.1, 2.2
#[tokio::test]
async fn two_tabs_that_fill_the_cart_at_the_same_moment_lose_nothing() {
    let Some(browser) = Browser::open().await else {
        return;
    };
    let shop = shop("memory").await;
    let conductor = browser.tab().await;
    browser.visit(&shop.url("/")).await;
    browser.click("form:has([value=day-book]) button").await;
    let tabs = [browser.new_tab().await, browser.new_tab().await];
    for _ in 0..ROUNDS {
        for (tab, product) in tabs.iter().zip(["heron-pen", "iron-blue"]) {
            browser.switch(tab).await;
            browser.visit(&shop.url("/")).await;
            let form = format!("form:has([value={product}])");
            wait_for_the_word(&browser, &form).await;
        }
        browser.switch(&conductor).await;
        give_the_word(&browser).await;
        for tab in &tabs {
            browser.switch(tab).await;
            browser.arrive("/cart").await;
        }
    }
    browser.switch(&conductor).await;
    browser.visit(&shop.url("/cart")).await;
    let lines = "return [...document.querySelectorAll('.line .about p')]
        .map(line => Number(line.innerText.split(' ')[0]))";
    assert_eq!(
        browser.script(lines).await,
        serde_json::json!([1, ROUNDS, ROUNDS])
    );
}

/// Conformance 2.3, 5.4
#[tokio::test]
async fn two_tabs_that_sign_out_at_the_same_moment_both_end_in_the_shop() {
    let Some(browser) = Browser::open().await else {
        return;
    };
    let shop = shop("memory").await;
    let conductor = browser.tab().await;
    let tabs = [browser.new_tab().await, browser.new_tab().await];
    for _ in 0..ROUNDS {
        browser.switch(&conductor).await;
        browser.sign_in(&shop.url("/login")).await;
        for tab in &tabs {
            browser.switch(tab).await;
            browser.visit(&shop.url("/dashboard")).await;
            wait_for_the_word(&browser, "main form").await;
        }
        browser.switch(&conductor).await;
        give_the_word(&browser).await;
        for tab in &tabs {
            browser.switch(tab).await;
            browser.arrive("/").await;
        }
        for tab in &tabs {
            browser.switch(tab).await;
            // A page that takes the goodbye is refused (409) where the other tab ends the session that the
            // goodbye is in before that is saved. By now both have signed out.
            browser.reload().await;
            assert_eq!(browser.text("h1").await, "For people who still write");
        }
        browser.switch(&conductor).await;
        browser.reload().await;
        assert_eq!(browser.path().await, "/login");
    }
}
