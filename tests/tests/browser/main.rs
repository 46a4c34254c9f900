//! The demo shop in Chromium: cookies, tabs, history and forms.

mod account;
mod cart;
mod cookie;
mod driver;
mod pages;
mod tabs;

use poem_session_tests::process::App;

async fn shop(store: &str) -> App {
    App::start("shop", &["--listen", "127.0.0.1:0", "--store", store]).await
}
