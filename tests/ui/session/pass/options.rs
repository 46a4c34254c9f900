use poem_session::{Session, SessionData, session};

#[derive(SessionData)]
struct Shop {
    user: Option<u64>,
}

#[session()]
async fn none() {}

#[session(regenerate, idle_timeout = "30days")]
async fn login(shop: Session<Shop>) -> poem::Result<()> {
    Ok(shop.set_user(5)?)
}

#[session(destroy,)]
fn logout() {}

#[session(passive)]
fn poll() {}

#[session(passive, exclusive, or_redirect = "/login")]
async fn messages(#[key(Shop::USER)] _user: u64) {}

#[session(or_redirect = "/login?next=/account")]
async fn account(#[key(Shop::USER)] _user: u64) {}

#[session(or_redirect = "https://id.example/login", crate = poem_session, regenerate)]
async fn elsewhere(#[key(Shop::USER)] _user: u64, _shop: &mut Shop) {}

fn main() {
    let _ = poem::Route::new()
        .at("/a", poem::get(none).post(login).put(logout))
        .at("/b", poem::get(account).post(elsewhere))
        .at("/c", poem::get(poll).post(messages));
}
