//! Controls a browser.

use std::time::{Duration, Instant};

use poem_session_tests::servers::chromedriver::{self, Chromedriver};
use serde_json::{Map, Value};
use thirtyfour::{
    By, Cookie, TimeoutConfiguration, WebDriver, WebElement, WindowHandle, prelude::ElementWaitable,
};
use tokio::time::sleep;

/// The time limit for a page.
const PATIENCE: Duration = Duration::from_mins(5);

/// A browser with a profile of its own. Commands act on its current tab, and panic if they fail.
pub(crate) struct Browser {
    driver: WebDriver,
    /// Ends the browser when it is dropped.
    _process: Chromedriver,
}

impl Browser {
    /// Starts a browser. Returns `None` and reports the test as skipped if none is installed.
    pub(crate) async fn open() -> Option<Self> {
        let process = chromedriver::private().await?;
        let Value::Object(capabilities) = process.capabilities() else {
            unreachable!("capabilities have names");
        };
        let capabilities = Map::from_iter(capabilities);
        let driver = WebDriver::builder(process.url(), capabilities)
            .request_timeout(2 * PATIENCE)
            .connect()
            .await
            .expect("a browser starts");
        let timeouts = TimeoutConfiguration::new(Some(PATIENCE), Some(PATIENCE), None);
        let set = driver.update_timeouts(timeouts).await;
        set.expect("a browser that waits");
        // Otherwise dropping the driver would block until the browser has quit.
        driver.clone().leak().expect("it has not quit");
        Some(Self {
            driver,
            _process: process,
        })
    }

    pub(crate) async fn visit(&self, url: &str) {
        self.driver.goto(url).await.expect("an address");
    }

    pub(crate) async fn reload(&self) {
        self.driver.refresh().await.expect("a page");
    }

    pub(crate) async fn back(&self) {
        self.driver.back().await.expect("a page before");
    }

    /// The path of the page.
    pub(crate) async fn path(&self) -> String {
        let url = self.driver.current_url().await.expect("a page");
        url.path().to_owned()
    }

    /// Waits until the page is the one at this path.
    pub(crate) async fn arrive(&self, path: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let at = self.path().await;
            if at == path {
                return;
            }
            if Instant::now() > deadline {
                let page = self.text("body").await;
                panic!("at {at} and not at {path}: {page}");
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn element(&self, css: &str) -> WebElement {
        let found = self.driver.find(By::Css(css)).await;
        found.unwrap_or_else(|error| panic!("no `{css}`: {error}"))
    }

    pub(crate) async fn has(&self, css: &str) -> bool {
        let found = self.driver.find_all(By::Css(css)).await;
        !found.expect("a page").is_empty()
    }

    pub(crate) async fn text(&self, css: &str) -> String {
        self.element(css).await.text().await.expect("it has text")
    }

    /// Clicks, and waits for the next page.
    pub(crate) async fn click(&self, css: &str) {
        let element = self.element(css).await;
        element.click().await.expect("it can be clicked on");
        gone(&element).await;
    }

    pub(crate) async fn double_click(&self, css: &str) {
        let element = self.element(css).await;
        let chain = self.driver.action_chain().double_click_element(&element);
        chain.perform().await.expect("it can be clicked on");
    }

    /// Types into the element that has the focus.
    pub(crate) async fn press(&self, keys: &str) {
        let chain = self.driver.action_chain().send_keys(keys);
        chain.perform().await.expect("a page takes keys");
    }

    pub(crate) async fn fill(&self, css: &str, text: &str) {
        let element = self.element(css).await;
        element.send_keys(text).await.expect("it takes text");
    }

    /// Runs a script that opens another page, and waits for that page.
    pub(crate) async fn leave_by(&self, script: &str) {
        let page = self.element("html").await;
        self.script(script).await;
        gone(&page).await;
    }

    /// Runs the body of a function in the page, and returns its result.
    pub(crate) async fn script(&self, body: &str) -> Value {
        let result = self.driver.execute(body, Vec::new()).await;
        let result = result.unwrap_or_else(|error| panic!("`{body}`: {error}"));
        result.json().clone()
    }

    pub(crate) async fn cookie(&self, name: &str) -> Option<Cookie> {
        let cookies = self.driver.get_all_cookies().await.expect("a page");
        cookies.into_iter().find(|cookie| cookie.name == name)
    }

    /// Drops the cookies of this page.
    pub(crate) async fn forget(&self) {
        let dropped = self.driver.delete_all_cookies().await;
        dropped.expect("a page");
    }

    /// Sets a cookie. Returns whether the browser has accepted it.
    pub(crate) async fn plant(&self, cookie: Cookie) -> bool {
        self.driver.add_cookie(cookie).await.is_ok()
    }

    /// The current tab.
    pub(crate) async fn tab(&self) -> WindowHandle {
        self.driver.window().await.expect("a tab")
    }

    /// Opens another tab, which becomes the current one.
    pub(crate) async fn new_tab(&self) -> WindowHandle {
        let tab = self.driver.new_tab().await.expect("a browser has tabs");
        self.switch(&tab).await;
        tab
    }

    pub(crate) async fn switch(&self, tab: &WindowHandle) {
        let switched = self.driver.switch_to_window(tab.clone()).await;
        switched.expect("a tab of this browser");
    }

    /// The errors in the browser log since the last call.
    pub(crate) async fn errors(&self) -> Vec<String> {
        let log = self.driver.browser_log().await.expect("a log is kept");
        log.into_iter().map(|entry| entry.message).collect()
    }

    /// Signs in to the shop.
    pub(crate) async fn sign_in(&self, login: &str) {
        self.visit(login).await;
        self.fill("#user", "emily").await;
        self.fill("#password", "feathers").await;
        self.click("main form button").await;
        self.arrive("/dashboard").await;
    }
}

/// Waits until the page of this element is gone. A click returns before the response has arrived.
async fn gone(element: &WebElement) {
    let wait = element
        .wait_until()
        .wait(PATIENCE, Duration::from_millis(10));
    wait.stale().await.expect("another page comes");
}
