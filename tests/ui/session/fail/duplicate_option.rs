use poem_session::session;

#[session(regenerate, regenerate)]
async fn flag() {}

#[session(idle_timeout = "1h", idle_timeout = "2h")]
async fn value() {}

fn main() {}
