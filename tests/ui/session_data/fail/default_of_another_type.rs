use poem_session::SessionData;

#[derive(SessionData)]
struct Shop {
    #[session(default = "five")]
    count: u32,
}

fn main() {}
