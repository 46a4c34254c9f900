use poem_session::SessionData;

#[derive(SessionData)]
struct Shop {
    #[session(skip, flash)]
    notice: Option<String>,
    #[session(default = 5, skip)]
    count: u32,
    #[session(skip, rename = "k", alias = "old")]
    cache: u32,
}

fn main() {}
