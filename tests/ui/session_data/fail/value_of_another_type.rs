use poem_session::{Session, SessionData};

#[derive(SessionData)]
struct Shop {
    #[session(default)]
    cart: Vec<u64>,
    user: Option<u64>,
}

fn uses(session: Session<Shop>) {
    let _ = session.set_cart("apples");
    let _ = session.set(Shop::CART, "apples");
    // The setter takes the value without `Some`: `remove_user` makes the field `None`.
    let _ = session.set_user(Some(5));
    let _ = session.update_cart(|cart: &mut String| cart.clear());
    let _: Result<String, _> = session.get(Shop::CART);
}

fn main() {}
