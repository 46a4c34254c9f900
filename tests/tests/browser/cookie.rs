//! The cookie in a browser.

use poem_session_tests::process::App;
use thirtyfour::{Cookie, common::cookie::SameSite};

use super::{driver::Browser, shop};

/// Conformance 1.17, 5.7
#[tokio::test]
async fn scripts_cannot_read_the_cookie_of_the_shop() {
    let Some(browser) = Browser::open().await else {
        return;
    };
    let shop = shop("memory").await;
    browser.sign_in(&shop.url("/login")).await;
    let cookie = browser.cookie("id").await.expect("a session");
    assert_eq!(cookie.http_only, Some(true));
    assert_eq!(cookie.same_site, Some(SameSite::Lax));
    assert_eq!(cookie.path.as_deref(), Some("/"));
    assert_eq!(
        cookie.domain.as_deref(),
        Some("127.0.0.1"),
        "this host only"
    );
    assert!(cookie.expiry.is_some(), "it has a lifetime");
    assert_eq!(browser.script("return document.cookie").await, "");
}

/// Sends a form of the page, which increments the count.
async fn count(browser: &Browser) -> String {
    let send = "const form = document.body.appendChild(document.createElement('form'));
        form.method = 'post'; form.submit()";
    browser.leave_by(send).await;
    browser.text("body").await
}

/// Conformance 5.7
#[tokio::test]
async fn a_browser_accepts_a_host_cookie_only_from_its_host() {
    let Some(browser) = Browser::open().await else {
        return;
    };
    let app = App::start("secure_cookies", &["127.0.0.1:0"]).await;
    // Browsers accept `Secure` cookies from localhost without HTTPS.
    let url = format!("http://localhost:{}/", app.address().port());
    browser.visit(&url).await;
    let mut planted = Cookie::new("__Host-sid", "A".repeat(43));
    assert!(
        !browser.plant(planted.clone()).await,
        "the cookie is not Secure"
    );
    planted.set_secure(true);
    planted.set_path("/elsewhere");
    assert!(!browser.plant(planted).await, "the path is not /");

    assert_eq!(count(&browser).await, "visit 1");
    assert_eq!(count(&browser).await, "visit 2");
    let cookie = browser.cookie("__Host-sid").await.expect("a session");
    assert_eq!(cookie.secure, Some(true));
    assert_eq!(cookie.http_only, Some(true));
    assert_eq!(cookie.same_site, Some(SameSite::Strict));
    assert_eq!(cookie.expiry, None, "a browser session cookie");
    assert_eq!(browser.script("return document.cookie").await, "");
}
