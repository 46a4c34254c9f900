//! The cart of the shop.

use super::{driver::Browser, shop};

const ADD_A_PEN: &str = "form:has([value=heron-pen]) button";

async fn items(browser: &Browser) -> String {
    browser
        .script("return document.querySelector('.count').firstChild.data")
        .await
        .as_str()
        .expect("a number in the header")
        .to_owned()
}

/// Conformance 1.1, 3.4
#[tokio::test]
async fn a_notice_is_shown_once_and_the_cart_is_kept_in_every_tab() {
    let Some(browser) = Browser::open().await else {
        return;
    };
    let shop = shop("memory").await;
    browser.visit(&shop.url("/")).await;
    assert!(
        browser.cookie("id").await.is_none(),
        "the session is unchanged"
    );
    browser.click(ADD_A_PEN).await;
    assert_eq!(browser.path().await, "/cart");
    assert!(browser.text(".notice").await.contains("is in your cart"));
    assert_eq!(items(&browser).await, "1");
    browser.reload().await;
    assert!(!browser.has(".notice").await, "it is shown once");
    assert_eq!(items(&browser).await, "1");

    let first = browser.tab().await;
    browser.new_tab().await;
    browser.visit(&shop.url("/")).await;
    assert_eq!(items(&browser).await, "1");
    browser.click(ADD_A_PEN).await;
    assert_eq!(items(&browser).await, "2");
    browser.switch(&first).await;
    browser.reload().await;
    assert_eq!(items(&browser).await, "2");
    assert!(
        !browser.has(".notice").await,
        "it was shown in the other tab"
    );
}
