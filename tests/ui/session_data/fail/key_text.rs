use poem_session::SessionData;

#[derive(SessionData)]
#[session(namespace = "")]
struct Empty {
    user: Option<u64>,
}

#[derive(SessionData)]
#[session(namespace = "my.shop")]
struct Shop {
    #[session(rename = "a b")]
    a: Option<u64>,
    #[session(rename = "other.key")]
    b: Option<u64>,
    #[session(alias = "")]
    c: Option<u64>,
    #[session(alias = "old.")]
    d: Option<u64>,
    größe: Option<u64>,
}

#[derive(SessionData)]
struct Café {
    user: Option<u64>,
}

fn main() {}
