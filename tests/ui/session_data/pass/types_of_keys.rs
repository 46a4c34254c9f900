use poem_session::{Defaulted, GetError, Key, Optional, Session, SessionData, SetError, UpdateError};

#[derive(SessionData)]
struct Shop {
    user: Option<u64>,
    #[session(default)]
    cart: Vec<String>,
}

const USER: Key<Shop, u64, Optional> = Shop::USER;
const CART: Key<Shop, Vec<String>, Defaulted> = Shop::CART;
const SHORT: Key<Shop, Vec<String>> = Shop::CART;

fn methods(session: &Session<Shop>) {
    let _: Result<Option<u64>, GetError> = session.user();
    let _: Result<(), SetError> = session.set_user(5);
    let _: Result<(), UpdateError> = session.update_user(|user: &mut Option<u64>| *user = None);
    let _: Result<Option<u64>, GetError> = session.take_user();
    let () = session.remove_user();

    let _: Result<Vec<String>, GetError> = session.cart();
    let _: Result<(), SetError> = session.set_cart(Vec::new());
    let _: Result<(), UpdateError> = session.update_cart(|cart| cart.clear());
    let _: Result<Vec<String>, GetError> = session.take_cart();
    let () = session.remove_cart();

    let _: Result<Option<u64>, GetError> = session.get(USER);
    let _: Result<Vec<String>, GetError> = session.take(CART);
    let _: Result<(), SetError> = session.set(SHORT, Vec::new());
}

fn main() {
    let _ = methods;
}
