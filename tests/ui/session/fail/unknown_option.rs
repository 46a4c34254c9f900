use poem_session::session;

#[session(regenrate)]
async fn slip() {}

#[session(timeout = "2h")]
async fn other() {}

fn main() {}
