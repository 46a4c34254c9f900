use poem_session::session;

#[session(idle_timeout = "0s")]
async fn zero() {}

#[session(idle_timeout = "soon")]
async fn no_duration() {}

#[session(idle_timeout = "30")]
async fn no_unit() {}

#[session(idle_timeout = 30)]
async fn number() {}

#[session(idle_timeout)]
async fn nothing() {}

fn main() {}
