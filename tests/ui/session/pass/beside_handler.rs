//! `Session<S>` and `S` are extractors, which `#[handler]` accepts.
use poem::{Route, get, handler};
use poem_session::{Session, SessionData};

#[derive(SessionData)]
struct Shop {
    user: Option<u64>,
}

#[handler]
async fn both(shop: Session<Shop>, snapshot: Shop) -> String {
    format!("{} {:?}", shop.is_new(), snapshot.user)
}

fn main() {
    let _ = Route::new().at("/", get(both));
}
