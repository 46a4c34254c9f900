//! The list in `#[session(name, name = value)]`, the same for both macros.

use proc_macro2::TokenStream;
use syn::{
    Expr, ExprLit, ExprPath, Ident, Lit, LitStr, Path, Token,
    ext::IdentExt,
    parse::{Parse, ParseStream, Parser},
};

use crate::{ctxt::Ctxt, names};

/// `name` or `name = value`.
pub(crate) struct Entry {
    pub(crate) name: Ident,
    value: Option<Expr>,
}

impl Parse for Entry {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        // `crate` is a keyword.
        let name = Ident::parse_any(input)?;
        let value = if input.peek(Token![=]) {
            input.parse::<Token![=]>()?;
            Some(ungrouped(input.parse()?))
        } else if input.is_empty() || input.peek(Token![,]) {
            None
        } else {
            return Err(input.error(format!("expected `,`; a value is written `{name} = …`")));
        };
        Ok(Self { name, value })
    }
}

impl Entry {
    /// Nothing may follow the name.
    pub(crate) fn flag(self) -> syn::Result<Ident> {
        match self.value {
            None => Ok(self.name),
            Some(value) => {
                let message = format!("`{}` takes no value; write only `{0}`", self.name);
                Err(syn::Error::new_spanned(value, message))
            }
        }
    }

    pub(crate) fn string(self, example: &str) -> syn::Result<LitStr> {
        match self.value {
            Some(Expr::Lit(ExprLit {
                lit: Lit::Str(text),
                ..
            })) => Ok(text),
            value => Err(wrong_value(&self.name, value, "a string", example)),
        }
    }

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

    /// With a value or without.
    pub(crate) fn optional_expr(self) -> (Ident, Option<Expr>) {
        (self.name, self.value)
    }
}

/// What stands in a `macro_rules` variable comes in an invisible group.
fn ungrouped(value: Expr) -> Expr {
    match value {
        Expr::Group(group) => ungrouped(*group.expr),
        value => value,
    }
}

fn wrong_value(name: &Ident, value: Option<Expr>, what: &str, example: &str) -> syn::Error {
    let message = format!("`{name}` takes {what}: `{name} = {example}`");
    match value {
        Some(value) => syn::Error::new_spanned(value, message),
        None => syn::Error::new(name.span(), message),
    }
}

/// The entries of one list. What follows a syntax error is lost.
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

/// Puts a value where none was written yet, and refuses the second.
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

/// Refuses a name that nothing is known by.
pub(crate) fn unknown(ctxt: &Ctxt, name: &Ident, what: &str, place: &str, known: &[&str]) {
    let text = name.unraw().to_string();
    let list: Vec<String> = known.iter().map(|known| format!("`{known}`")).collect();
    let list = list.join(", ");
    let meant = names::nearest(&text, known)
        .map(|nearest| format!("did you mean `{nearest}`? "))
        .unwrap_or_default();
    ctxt.error_at(
        name.span(),
        format!("unknown {what} `{text}` {place}; {meant}known: {list}"),
    );
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;

    fn read(list: TokenStream) -> (Vec<Entry>, Option<String>) {
        let ctxt = Ctxt::default();
        let entries = entries(&ctxt, list);
        (entries, ctxt.finish().map(|tokens| tokens.to_string()))
    }

    #[test]
    fn flags_values_and_a_trailing_comma() {
        let (entries, errors) = read(quote!(
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
    fn a_syntax_error_keeps_what_came_before() {
        let (entries, errors) = read(quote!(flash, default(5), skip));
        assert_eq!(entries.len(), 1);
        assert!(errors.unwrap().contains("`default = …`"));
    }

    #[test]
    fn values_of_the_wrong_kind_are_refused() {
        let one = |list| read(list).0.remove(0);
        assert!(one(quote!(flash = 1)).flag().is_err());
        assert!(one(quote!(rename)).string("\"key\"").is_err());
        assert!(one(quote!(rename = 5)).string("\"key\"").is_err());
        assert!(one(quote!(crate = "a")).path("a").is_err());
        assert_eq!(one(quote!(rename = "a")).string("").unwrap().value(), "a");
    }

    #[test]
    fn unknown_names_get_a_suggestion() {
        let ctxt = Ctxt::default();
        unknown(
            &ctxt,
            &quote::format_ident!("flush"),
            "option",
            "here",
            &["flash", "skip"],
        );
        let errors = ctxt.finish().unwrap().to_string();
        assert!(
            errors.contains("did you mean `flash`? known: `flash`, `skip`"),
            "{errors}"
        );
    }
}
