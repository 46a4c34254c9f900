//! The pages themselves.

use super::{driver::Browser, shop};

/// What is wrong with a page, in words.
const FAULTS: &str = "
    const faults = [];
    const check = (good, fault) => good || faults.push(fault);
    const all = selector => [...document.querySelectorAll(selector)];
    check(document.documentElement.lang, 'no language');
    check(document.title.trim(), 'no title');
    check(all('h1').length === 1, 'not one h1');
    check(all('main').length === 1, 'not one main');
    for (const field of all('input:not([type=hidden]), textarea, select'))
        check(field.labels.length, `no label: ${field.name}`);
    for (const button of all('button, a'))
        check(button.innerText.trim() || button.ariaLabel, `no text: ${button.outerHTML}`);
    for (const id of all('[id]').map(element => element.id))
        check(all(`[id='${id}']`).length === 1, `twice: #${id}`);
    for (const entry of performance.getEntriesByType('resource'))
        check(new URL(entry.name).origin === location.origin, `from elsewhere: ${entry.name}`);
    check(getComputedStyle(document.body).display === 'grid', 'no style');
    return faults;";

#[tokio::test]
async fn every_page_is_whole_and_asks_nobody_else_for_anything() {
    let Some(browser) = Browser::open().await else {
        return;
    };
    let shop = shop("memory").await;
    browser.visit(&shop.url("/")).await;
    browser.click("form:has([value=heron-pen]) button").await;
    for path in ["/", "/cart", "/contact", "/login"] {
        browser.visit(&shop.url(path)).await;
        let faults = browser.script(FAULTS).await;
        assert_eq!(faults, serde_json::json!([]), "{path}");
    }
    browser.sign_in(&shop.url("/login")).await;
    assert_eq!(browser.script(FAULTS).await, serde_json::json!([]));
    assert_eq!(browser.complaints().await, [""; 0]);

    // The page of an error, which the browser notes down as such.
    browser.visit(&shop.url("/nowhere")).await;
    assert_eq!(browser.script(FAULTS).await, serde_json::json!([]));
    let complaints = browser.complaints().await;
    assert!(
        matches!(&complaints[..], [one] if one.contains("404")),
        "{complaints:?}"
    );
}

#[tokio::test]
async fn a_customer_needs_no_mouse() {
    const TAB: &str = "\u{e004}";
    const ENTER: &str = "\u{e007}";
    let Some(browser) = Browser::open().await else {
        return;
    };
    let shop = shop("memory").await;
    browser.visit(&shop.url("/login")).await;
    browser.press(TAB).await;
    let focus = "return document.activeElement.innerText";
    assert_eq!(browser.script(focus).await, "Skip to the content");
    browser
        .press(&[ENTER, TAB, "emily", TAB, "feathers", ENTER].concat())
        .await;
    browser.arrive("/dashboard").await;
    browser.visit(&shop.url("/")).await;
    browser.press(&[TAB, ENTER, TAB, ENTER].concat()).await;
    browser.arrive("/cart").await;
    assert!(
        browser.has(".notice").await,
        "the first thing is in the cart"
    );
}
