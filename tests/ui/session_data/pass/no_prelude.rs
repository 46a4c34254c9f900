#![no_implicit_prelude]
#![allow(dead_code)]

#[derive(::poem_session::SessionData)]
struct Shop {
    user: ::std::option::Option<u64>,
    #[session(default)]
    cart: ::std::vec::Vec<::std::string::String>,
    #[session(default = 5, alias = "old", flash)]
    count: u32,
    #[session(skip)]
    cache: u8,
}

fn main() {}
