use poem_session::{SessionData, session};

#[derive(SessionData)]
struct Shop {
    user: Option<u64>,
}

#[session]
async fn nothing(#[key] _user: u64) {}

#[session]
async fn text(#[key("shop.user")] _user: u64) {}

#[session]
async fn value(#[key = Shop::USER] _user: u64) {}

#[session]
async fn twice(#[key(Shop::USER)] #[key(Shop::USER)] _user: u64) {}

#[session]
async fn reference(#[key(Shop::USER)] _user: &u64) {}

#[session]
async fn mutable(#[key(Shop::USER)] _user: &mut u64) {}

#[session]
async fn misspelled(#[key(Shop::USR)] _user: u64) {}

#[session]
async fn no_key(#[key(u64::MAX)] _user: u64) {}

fn main() {}
