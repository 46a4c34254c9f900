use poem_session::SessionData;

#[derive(SessionData)]
struct Shop {
    user: Option<u64>,
    set_user: Option<u64>,
}

fn main() {}
