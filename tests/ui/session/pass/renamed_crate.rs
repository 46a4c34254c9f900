mod vendored {
    pub mod sessions {
        pub use poem_session::*;
    }
}

use vendored::sessions::{SessionData, session};

#[derive(SessionData)]
#[session(crate = crate::vendored::sessions)]
struct Shop {
    user: Option<u64>,
}

#[session(crate = crate::vendored::sessions, regenerate)]
async fn index(shop: &mut Shop, #[key(Shop::USER)] user: u64) {
    shop.user = Some(user);
}

fn main() {
    let _ = poem::get(index);
}
