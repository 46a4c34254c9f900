use poem_session::SessionData;

#[derive(SessionData)]
#[session(namspace = "shop")]
struct Misspelled {
    #[session(defualt)]
    cart: Option<Vec<String>>,
}

#[derive(SessionData)]
struct Unknown {
    #[session(ttl = "10m")]
    code: Option<String>,
}

// Planned for a later release.
#[derive(SessionData)]
struct Planned {
    #[session(index)]
    user: Option<u64>,
    #[session(expires = "10m")]
    code: Option<String>,
    #[session(secret)]
    token: Option<String>,
}

fn main() {}
