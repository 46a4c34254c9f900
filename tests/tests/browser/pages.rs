//! The pages of the shop.

use super::{driver::Browser, shop};

/// A script that returns the faults of a page.
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
async fn every_page_is_accessible_and_loads_nothing_from_other_hosts() {
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
    assert_eq!(browser.errors().await, [""; 0]);

    // The browser logs the status of an error page.
    browser.visit(&shop.url("/nowhere")).await;
    assert_eq!(browser.script(FAULTS).await, serde_json::json!([]));
    let errors = browser.errors().await;
    assert!(
        matches!(&errors[..], [one] if one.contains("404")),
        "{errors:?}"
    );
}

#[tokio::test]
async fn the_shop_can_be_used_with_the_keyboard() {
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
        "the first product is in the cart"
    );
}
