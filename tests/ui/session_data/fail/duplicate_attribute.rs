use poem_session::SessionData;

#[derive(SessionData)]
#[session(namespace = "a", namespace = "b")]
struct Shop {
    #[session(default, default = 5)]
    count: u32,
    #[session(flash)]
    #[session(flash)]
    notice: Option<String>,
    #[session(rename = "a", rename = "a")]
    user: Option<u64>,
}

fn main() {}
