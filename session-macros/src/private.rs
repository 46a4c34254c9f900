//! Paths into the runtime, `poem_session::__private`, and the spans of generated code.

use proc_macro2::{Group, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote_spanned};
use syn::{Path, Type, spanned::Spanned};

/// The path of `poem_session::__private`. Holds the path of the crate if the user wrote `crate = path`.
pub(crate) struct Private<'a>(pub(crate) Option<&'a Path>);

impl Private<'_> {
    pub(crate) fn path(&self) -> TokenStream {
        self.at(Span::call_site())
    }

    /// The same path, located at `span`: the compiler reports there if the call does not fit.
    pub(crate) fn at(&self, span: Span) -> TokenStream {
        let krate = match self.0 {
            None => quote_spanned!(span=> ::poem_session),
            Some(path) => located_at(path.to_token_stream(), span),
        };
        quote_spanned!(span=> #krate::__private)
    }
}

/// The span at which an error about a type is reported: one word of the type.
///
/// Every token of a generated call gets this one span. Otherwise rustc reports the call, its future and the
/// `.await` as separate errors.
pub(crate) fn type_span(ty: &Type) -> Span {
    let word = match ty {
        Type::Reference(reference) => return type_span(&reference.elem),
        Type::Group(group) => return type_span(&group.elem),
        Type::Paren(paren) => return type_span(&paren.elem),
        Type::Path(path) => path.path.segments.last().map(|last| last.ident.span()),
        _ => None,
    };
    // With the hygiene of `mixed_site`, rustc does not suggest changes to the code as if the user wrote it.
    Span::mixed_site().located_at(word.unwrap_or_else(|| ty.span()))
}

/// Moves the tokens to another location. Their names resolve as before.
fn located_at(tokens: TokenStream, location: Span) -> TokenStream {
    tokens
        .into_iter()
        .map(|mut token| {
            if let TokenTree::Group(group) = &token {
                let (delimiter, inner) = (group.delimiter(), group.stream());
                token = Group::new(delimiter, located_at(inner, location)).into();
            }
            token.set_span(token.span().located_at(location));
            token
        })
        .collect()
}
