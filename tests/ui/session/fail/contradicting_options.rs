use poem_session::session;

#[session(regenerate, destroy)]
async fn both() {}

#[session(destroy, idle_timeout = "2h")]
async fn ended() {}

fn main() {}
