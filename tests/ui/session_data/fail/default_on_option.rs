use poem_session::SessionData;

#[derive(SessionData)]
struct Shop {
    #[session(default)]
    user: Option<u64>,
}

fn main() {}
