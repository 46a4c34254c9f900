//! `#[handler]` below `#[session]` is redundant, and has no effect.
#![deny(warnings)]

use poem::handler;
use poem_session::{Session, SessionData, session};

#[derive(SessionData)]
struct Shop {
    user: Option<u64>,
}

#[session]
#[handler]
async fn short(shop: Session<Shop>) -> poem::Result<String> {
    Ok(format!("{:?}", shop.user()?))
}

#[session]
#[poem::handler]
fn long(shop: Shop) -> String {
    format!("{:?}", shop.user)
}

mod inside {
    #[poem_session::session]
    #[::poem::handler]
    pub fn longest() {}
}

fn main() {
    let _ = poem::Route::new()
        .at("/a", poem::get(short).post(long))
        .at("/b", poem::get(inside::longest));
}
