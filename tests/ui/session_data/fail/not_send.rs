use poem_session::SessionData;
use std::marker::PhantomData;

#[derive(serde::Serialize, serde::Deserialize)]
struct Local(PhantomData<*const u8>);

#[derive(SessionData)]
struct Shop {
    local: Option<Local>,
}

fn main() {}
