use poem_session::{SessionData, session};

#[derive(SessionData)]
struct Shop {
    user: Option<u64>,
}

#[session(or_redirect = "login")]
async fn relative(#[key(Shop::USER)] _user: u64) {}

#[session(or_redirect = "//login.example")]
async fn another_host(#[key(Shop::USER)] _user: u64) {}

#[session(or_redirect = "http://login.example")]
async fn without_tls(#[key(Shop::USER)] _user: u64) {}

#[session(or_redirect = "/log in")]
async fn with_a_space(#[key(Shop::USER)] _user: u64) {}

fn main() {}
