//! Tabs that send forms at the same moment.

use super::{driver::Browser, shop};

/// How often the tabs send their forms.
const ROUNDS: usize = 5;

/// Makes this tab send its form when it receives the signal.
async fn wait_for_signal(browser: &Browser, form: &str) {
    let script = format!(
        "const form = document.querySelector('{form}');
        new BroadcastChannel('signal').onmessage = () => form.requestSubmit();"
    );
    browser.script(&script).await;
}

async fn send_signal(browser: &Browser) {
    let script = "new BroadcastChannel('signal').postMessage('now')";
    browser.script(script).await;
}

/// Conformance 2.1, 2.2
#[tokio::test]
async fn two_tabs_that_add_to_the_cart_at_the_same_moment_lose_nothing() {
    let Some(browser) = Browser::open().await else {
        return;
    };
    let shop = shop("memory").await;
    let sender = browser.tab().await;
    browser.visit(&shop.url("/")).await;
    browser.click("form:has([value=day-book]) button").await;
    let tabs = [browser.new_tab().await, browser.new_tab().await];
    for _ in 0..ROUNDS {
        for (tab, product) in tabs.iter().zip(["heron-pen", "iron-blue"]) {
            browser.switch(tab).await;
            browser.visit(&shop.url("/")).await;
            let form = format!("form:has([value={product}])");
            wait_for_signal(&browser, &form).await;
        }
        browser.switch(&sender).await;
        send_signal(&browser).await;
        for tab in &tabs {
            browser.switch(tab).await;
            browser.arrive("/cart").await;
        }
    }
    browser.switch(&sender).await;
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
async fn two_tabs_that_sign_out_at_the_same_moment_both_show_the_home_page() {
    let Some(browser) = Browser::open().await else {
        return;
    };
    let shop = shop("memory").await;
    let sender = browser.tab().await;
    let tabs = [browser.new_tab().await, browser.new_tab().await];
    for _ in 0..ROUNDS {
        browser.switch(&sender).await;
        browser.sign_in(&shop.url("/login")).await;
        for tab in &tabs {
            browser.switch(tab).await;
            browser.visit(&shop.url("/dashboard")).await;
            wait_for_signal(&browser, "main form").await;
        }
        browser.switch(&sender).await;
        send_signal(&browser).await;
        for tab in &tabs {
            browser.switch(tab).await;
            browser.arrive("/").await;
        }
        for tab in &tabs {
            browser.switch(tab).await;
            // A page that reads the notice is a conflict (409) if the other tab ends the session of the notice
            // before that read is saved. By now both tabs have signed out.
            browser.reload().await;
            assert_eq!(browser.text("h1").await, "For people who still write");
        }
        browser.switch(&sender).await;
        browser.reload().await;
        assert_eq!(browser.path().await, "/login");
        // Two responses can reach the browser in another order than they were made, so that it keeps the id of an
        // ended session. Writes with that id are refused for a few seconds (`retired_for`).
        browser.forget().await;
    }
}
