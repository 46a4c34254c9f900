#![allow(non_snake_case)]

use poem_session::SessionData;

#[derive(SessionData)]
struct Shop {
    last_seen: Option<u64>,
    lastSeen: Option<u64>,
}

fn main() {}
