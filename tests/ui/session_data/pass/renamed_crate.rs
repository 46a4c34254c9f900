mod vendored {
    pub mod sessions {
        pub use poem_session::*;
    }
}

use vendored::sessions::SessionData;

#[derive(SessionData)]
#[session(crate = crate::vendored::sessions)]
struct Shop {
    user: Option<u64>,
    #[session(default)]
    count: u32,
}

fn main() {
    let _ = (Shop::USER, Shop::COUNT);
}
