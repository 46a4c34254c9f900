//! Each mistake is one error. The uses of the handlers are not errors.
use poem::{EndpointExt, Route, get, web::Form};
use poem_session::{Session, SessionData, Sessions, session, store::MemoryStore};

#[derive(SessionData)]
struct Shop {
    user: Option<u64>,
}

#[session(regenerate, destroy)]
async fn contradicting(shop: Session<Shop>) -> poem::Result<()> {
    Ok(shop.set_user(5)?)
}

#[session(fresh)]
async fn generic<T: Clone + 'static>(#[key(Shop::USER)] user: &u64) -> String {
    let _ = std::any::type_name::<T>();
    user.to_string()
}

#[session]
fn untyped(_: impl Sized, Form(_): Form<u64>) {}

fn main() {
    let sessions = Sessions::builder(MemoryStore::new()).build().unwrap();
    let _ = Route::new()
        .at("/a", get(contradicting))
        .at("/b", get(generic::<u64>::default()).post(untyped))
        .with(sessions);
}
