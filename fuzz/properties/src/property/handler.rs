//! `#[session]` on any tokens. An input is a line of options, and an item.

use syn::{FnArg, Item};

use super::derive::{can_be_an_argument, items, tokens};

pub(crate) fn check(input: &[u8]) {
    let line = input.iter().position(|byte| *byte == b'\n');
    let (options, item) = input.split_at(line.unwrap_or(input.len()));
    let (Some(options), Some(item)) = (tokens(options), tokens(item)) else {
        return;
    };
    let Ok(item) = syn::parse2::<Item>(item) else {
        return;
    };
    if let Item::Fn(function) = &item {
        let mut inputs = function.sig.inputs.iter();
        let is_plain =
            |input: &FnArg| !matches!(input, FnArg::Typed(param) if !can_be_an_argument(&param.ty));
        if !inputs.all(is_plain) {
            return;
        }
    }
    items(crate::handler::expand(options, item));
}
