use poem_session::{Session, SessionData, session};

#[derive(SessionData)]
struct Typed<T> {
    value: Option<T>,
}

#[derive(SessionData)]
struct Borrowed<'a> {
    name: Option<&'a str>,
}

#[derive(SessionData)]
struct Sized<const N: usize> {
    bytes: Option<[u8; N]>,
}

#[derive(SessionData)]
struct Bounded
where
    u64: Copy,
{
    user: Option<u64>,
}

// The uses of the structs are not errors too.
fn uses(_: Session<Typed<u64>>, _: Session<Sized<4>>, _: Session<Bounded>) {}

#[session]
async fn snapshots(_: Typed<u64>, _: Borrowed<'static>, _: Sized<4>, _: Bounded) {}

fn main() {}
