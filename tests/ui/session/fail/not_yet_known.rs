use poem_session::session;

#[session(exclusive)]
async fn one_at_a_time() {}

#[session(fresh = "10m")]
async fn step_up() {}

fn main() {}
