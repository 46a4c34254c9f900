//! The way to the runtime, `poem_session::__private`.

use proc_macro2::{Group, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote_spanned};
use syn::{Path, Type, spanned::Spanned};

/// Where the user's code finds the crate: `crate = path`, if that was written.
pub(crate) struct Private<'a>(pub(crate) Option<&'a Path>);

impl Private<'_> {
    pub(crate) fn path(&self) -> TokenStream {
        self.at(Span::call_site())
    }

    /// The same, for the compiler to point at `span` when what is called there does not fit.
    pub(crate) fn at(&self, span: Span) -> TokenStream {
        let krate = match self.0 {
            None => quote_spanned!(span=> ::poem_session),
            Some(path) => moved(path.to_token_stream(), span),
        };
        quote_spanned!(span=> #krate::__private)
    }
}

/// Where an error about a type is shown: one word of it. Only where all tokens of a call stand at one place
/// does rustc see that the call, its future and the `.await` have one and the same error.
pub(crate) fn place(ty: &Type) -> Span {
    let word = match ty {
        Type::Reference(reference) => return place(&reference.elem),
        Type::Group(group) => return place(&group.elem),
        Type::Paren(paren) => return place(&paren.elem),
        Type::Path(path) => path.path.segments.last().map(|last| last.ident.span()),
        _ => None,
    };
    // With names that are ours: rustc does not take the code for the user's and suggest changes to it.
    Span::mixed_site().located_at(word.unwrap_or_else(|| ty.span()))
}

/// The same tokens, naming the same things, somewhere else.
fn moved(tokens: TokenStream, to: Span) -> TokenStream {
    tokens
        .into_iter()
        .map(|mut token| {
            if let TokenTree::Group(group) = &token {
                let (delimiter, inner) = (group.delimiter(), group.stream());
                token = Group::new(delimiter, moved(inner, to)).into();
            }
            token.set_span(token.span().located_at(to));
            token
        })
        .collect()
}
