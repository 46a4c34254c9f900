#![deny(warnings)]

fn main() {
    #[derive(poem_session::SessionData)]
    struct Shop {
        user: Option<u64>,
    }

    let _ = Shop { user: None }.user;
    let _ = Shop::USER;
}
