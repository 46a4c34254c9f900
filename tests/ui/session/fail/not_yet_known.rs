use poem_session::session;

#[session(fresh = "10m")]
async fn step_up() {}

fn main() {}
