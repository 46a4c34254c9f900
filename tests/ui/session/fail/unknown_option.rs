use poem_session::session;

#[session(regenrate)]
async fn misspelled() {}

#[session(timeout = "2h")]
async fn unknown() {}

// Planned for a later release.
#[session(fresh = "10m")]
async fn planned() {}

fn main() {}
