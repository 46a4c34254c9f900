use poem_session::SessionData;

#[derive(SessionData)]
struct Shop {
    #[session(index)]
    user: Option<u64>,
    #[session(expires = "10m")]
    code: Option<String>,
    #[session(secret)]
    token: Option<String>,
}

fn main() {}
