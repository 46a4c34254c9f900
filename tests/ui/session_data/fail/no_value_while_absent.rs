use poem_session::SessionData;

#[derive(SessionData)]
struct Shop {
    user: Option<u64>,
    cart: Vec<String>,
}

fn main() {}
