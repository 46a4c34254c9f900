//! `#[session]` on any tokens. An input is a line of options followed by an item.

use syn::Item;

use super::derive::{forget_texts, items, tokens};

pub(crate) fn check(input: &[u8]) {
    forget_texts();
    let line = input.iter().position(|byte| *byte == b'\n');
    let (options, item) = input.split_at(line.unwrap_or(input.len()));
    let (Some(options), Some(item)) = (tokens(options), tokens(item)) else {
        return;
    };
    let Ok(item) = syn::parse2::<Item>(item) else {
        return;
    };
    items(crate::handler::expand(options, item));
}
