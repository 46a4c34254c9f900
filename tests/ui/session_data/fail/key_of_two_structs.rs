use poem_session::{SessionData, Sessions, store::MemoryStore};

#[derive(SessionData)]
#[session(namespace = "app")]
struct Auth {
    user: Option<u64>,
}

#[derive(SessionData)]
#[session(namespace = "app")]
struct Profile {
    user: Option<String>,
}

fn main() {
    let _ = Sessions::builder(MemoryStore::new()).data::<(Auth, Profile)>();
}
