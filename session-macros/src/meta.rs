//! Parses the list in `#[session(name, name = value)]`, which has the same form for both macros.

use proc_macro2::TokenStream;
use syn::{
    Expr, ExprLit, ExprPath, Ident, Lit, LitStr, Path, Token,
    ext::IdentExt,
    parse::{Parse, ParseStream, Parser},
};

use crate::{ctxt::Ctxt, names};

/// One entry of the list: `name` or `name = value`.
pub(crate) struct Entry {
    pub(crate) name: Ident,
    value: Option<Expr>,
}

impl Parse for Entry {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if !input.peek(Ident::peek_any) {
            return Err(input.error("expected a name: write `name` or `name = value`"));
        }
        // `parse_any` accepts keywords too, such as `crate`.
        let name = Ident::parse_any(input)?;
        let value = if input.peek(Token![=]) {
            input.parse::<Token![=]>()?;
            Some(ungrouped(input.parse()?))
        } else if input.is_empty() || input.peek(Token![,]) {
            None
        } else {
            return Err(input.error(format!(
                "expected `,` after `{name}`; a value is written as `{name} = …`"
            )));
        };
        Ok(Self { name, value })
    }
}

impl Entry {
    /// Returns the name, which must have no value.
    pub(crate) fn flag(self) -> syn::Result<Ident> {
        match self.value {
            None => Ok(self.name),
            Some(value) => {
                let message = format!("`{}` takes no value; write only `{0}`", self.name);
                Err(syn::Error::new_spanned(value, message))
            }
        }
    }

    /// Returns the value, which must be a string literal. `example` is the value that an error suggests.
    pub(crate) fn string(self, example: &str) -> syn::Result<LitStr> {
        match self.value {
            Some(Expr::Lit(ExprLit {
                lit: Lit::Str(text),
                ..
            })) => Ok(text),
            value => Err(wrong_value(&self.name, value, "a string", example)),
        }
    }

    /// Returns the value, which must be a path. `example` is the value that an error suggests.
    pub(crate) fn path(self, example: &str) -> syn::Result<Path> {
        match self.value {
            Some(Expr::Path(ExprPath {
                qself: None, path, ..
            })) => Ok(path),
            value => Err(wrong_value(
                &self.name,
                value,
                "a path, without quotes",
                example,
            )),
        }
    }

    /// Returns the name, and the value if there is one.
    pub(crate) fn optional_expr(self) -> (Ident, Option<Expr>) {
        (self.name, self.value)
    }
}

/// Removes the invisible groups that surround the value of a `macro_rules` variable.
fn ungrouped(value: Expr) -> Expr {
    match value {
        Expr::Group(group) => ungrouped(*group.expr),
        value => value,
    }
}

fn wrong_value(name: &Ident, value: Option<Expr>, form: &str, example: &str) -> syn::Error {
    let message = format!("`{name}` takes {form}: `{name} = {example}`");
    match value {
        Some(value) => syn::Error::new_spanned(value, message),
        None => syn::Error::new(name.span(), message),
    }
}

/// Parses the entries of one list. Entries after a syntax error are ignored.
pub(crate) fn entries(ctxt: &Ctxt, list: TokenStream) -> Vec<Entry> {
    let parser = |input: ParseStream<'_>| {
        let mut entries = Vec::new();
        while !input.is_empty() {
            match input.parse() {
                Ok(entry) => entries.push(entry),
                Err(error) => {
                    ctxt.push(error);
                    input.parse::<TokenStream>()?;
                    break;
                }
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(entries)
    };
    ctxt.ok(parser.parse2(list)).unwrap_or_default()
}

/// Stores the value of an entry, or adds an error if the entry was written before.
pub(crate) fn set_once<T>(ctxt: &Ctxt, slot: &mut Option<T>, name: &Ident, value: syn::Result<T>) {
    let Some(value) = ctxt.ok(value) else { return };
    if slot.is_some() {
        ctxt.error_at(
            name.span(),
            format!("`{name}` is written twice; remove one"),
        );
    } else {
        *slot = Some(value);
    }
}

/// Adds an error for an unknown name, with the known names and the most similar one of them.
pub(crate) fn unknown(ctxt: &Ctxt, name: &Ident, kind: &str, location: &str, known: &[&str]) {
    let text = name.unraw().to_string();
    let list: Vec<String> = known.iter().map(|known| format!("`{known}`")).collect();
    let list = list.join(", ");
    let suggestion = names::nearest(&text, known)
        .map(|nearest| format!("did you mean `{nearest}`? "))
        .unwrap_or_default();
    ctxt.error_at(
        name.span(),
        format!("unknown {kind} `{text}` {location}; {suggestion}known: {list}"),
    );
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;

    fn parse(list: TokenStream) -> (Vec<Entry>, Option<String>) {
        let ctxt = Ctxt::new();
        let entries = entries(&ctxt, list);
        (entries, ctxt.check().err().map(|error| error.to_string()))
    }

    #[test]
    fn a_list_has_flags_values_and_a_trailing_comma() {
        let (entries, errors) = parse(quote!(
            flash,
            rename = "a",
            default = f::<A, B>(),
            crate = a::b,
        ));
        assert!(errors.is_none());
        let names: Vec<String> = entries.iter().map(|entry| entry.name.to_string()).collect();
        assert_eq!(names, ["flash", "rename", "default", "crate"]);
    }

    #[test]
    fn entries_before_a_syntax_error_are_kept() {
        let (entries, errors) = parse(quote!(flash, default(5), skip));
        assert_eq!(entries.len(), 1);
        assert!(errors.unwrap().contains("`default = …`"));
    }

    #[test]
    fn values_of_the_wrong_kind_are_rejected() {
        let one = |list| parse(list).0.remove(0);
        assert!(one(quote!(flash = 1)).flag().is_err());
        assert!(one(quote!(rename)).string("\"key\"").is_err());
        assert!(one(quote!(rename = 5)).string("\"key\"").is_err());
        assert!(one(quote!(crate = "a")).path("a").is_err());
        assert_eq!(one(quote!(rename = "a")).string("").unwrap().value(), "a");
    }

    #[test]
    fn an_unknown_name_gets_a_suggestion() {
        let ctxt = Ctxt::new();
        unknown(
            &ctxt,
            &quote::format_ident!("flush"),
            "option",
            "here",
            &["flash", "skip"],
        );
        let error = ctxt.check().unwrap_err().to_string();
        assert!(
            error.contains("did you mean `flash`? known: `flash`, `skip`"),
            "{error}"
        );
    }
}
