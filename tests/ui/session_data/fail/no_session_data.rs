use poem_session::Session;

struct Shop {
    user: Option<u64>,
}

fn uses(_: &Session<Shop>) {}

fn main() {}
