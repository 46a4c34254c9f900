use poem_session::SessionData;

#[derive(SessionData)]
struct Shop {
    name: Option<&'static str>,
}

fn main() {}
