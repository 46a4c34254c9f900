use poem_session::session;

#[session(regenerate = true)]
async fn value() {}

#[session(idle_timeout("2h"))]
async fn call() {}

#[session(regenerate destroy)]
async fn no_comma() {}

#[session("/login")]
async fn literal() {}

#[session(crate = "my_crate")]
async fn quoted() {}

fn main() {}
