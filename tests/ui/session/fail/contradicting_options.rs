use poem_session::session;

#[session(regenerate, destroy)]
async fn both() {}

#[session(destroy, idle_timeout = "2h")]
async fn ended() {}

#[session(passive, regenerate)]
async fn passive() {}

#[session(idle_timeout = "2h", passive)]
async fn passive_with_timeout() {}

#[session(destroy, passive)]
async fn passive_end() {}

fn main() {}
