use poem_session::SessionData;

#[derive(SessionData)]
#[session(namespace = "shop")]
struct Shop {
    user: Option<u64>,
    #[session(rename = "user")]
    customer: Option<u64>,
    #[session(alias = "user")]
    visitor: Option<u64>,
    #[session(alias = "shop.guest")]
    guest: Option<u64>,
    #[session(alias = "old", alias = "auth.old")]
    a: Option<u64>,
    #[session(alias = "auth.old")]
    b: Option<u64>,
}

fn main() {}
