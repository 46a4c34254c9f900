use poem_session::SessionData;

#[derive(SessionData)]
#[session(namspace = "shop")]
struct Shop {
    #[session(defualt)]
    cart: Option<Vec<String>>,
    #[session(ttl = "10m")]
    code: Option<String>,
}

fn main() {}
