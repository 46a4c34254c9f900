use poem_session::SessionData;

#[derive(SessionData)]
struct Tuple(Option<u64>);

#[derive(SessionData)]
struct Unit;

#[derive(SessionData)]
enum Choice {
    A { user: Option<u64> },
}

#[derive(SessionData)]
union Bits {
    a: u64,
}

fn main() {}
