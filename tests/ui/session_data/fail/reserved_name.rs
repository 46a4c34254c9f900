use poem_session::SessionData;

#[derive(SessionData)]
struct Shop {
    id: Option<u64>,
    #[session(default)]
    keys: Vec<String>,
    idle_timeout: Option<u64>,
    r#into: Option<u64>,
}

fn main() {}
