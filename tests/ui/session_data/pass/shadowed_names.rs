//! The user's items have the names that the generated code refers to.
#![allow(dead_code, non_camel_case_types, non_upper_case_globals, unused_macros)]

use ::poem_session::SessionData as Derive;

struct Result;
struct String;
struct Vec;
struct Session;
struct SessionData;
struct Key;
struct Field;
struct Handle;
struct Default;
struct Send;
struct FnMut;
struct Ok;
struct Err;
struct Some;
struct None;
struct ShopSession;
mod core {}
mod std {}
mod poem {}
mod poem_session {}

// The generated code must not read its variables as patterns for these items.
struct value;
struct handle;
struct session;
struct out;
struct request;
struct body;
const change: u8 = 0;
static key: u8 = 0;

macro_rules! unreachable {
    () => {
        compile_error!("not this one")
    };
}

#[derive(Derive)]
struct Shop {
    user: Option<u64>,
    #[session(default)]
    count: u32,
    #[session(flash, default = 5)]
    flash: u8,
    #[session(skip)]
    skipped: u8,
}

fn main() {
    let _ = (Shop::USER, Shop::COUNT);
}
