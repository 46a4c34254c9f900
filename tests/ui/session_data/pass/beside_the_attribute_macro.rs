//! The helper attribute `#[session]` works while the macro `session` is in scope.

use poem_session::{SessionData, session};

#[derive(SessionData)]
#[session(namespace = "shop")]
struct Shop {
    #[session(default)]
    count: u32,
}

#[session]
async fn index(#[key(Shop::COUNT)] count: u32) -> String {
    count.to_string()
}

fn main() {
    let _ = index;
    assert_eq!(Shop::COUNT.field().name(), "shop.count");
}
