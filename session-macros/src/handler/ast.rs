//! The model of a handler.

use proc_macro2::TokenStream;
use syn::{AttrStyle, Attribute, ExprPath, FnArg, ItemFn, LitStr, PatType, Path, Token, Type};

use super::attr::{self, Options};
use crate::{ctxt::Ctxt, private::Private};

pub(crate) struct Handler {
    pub(crate) options: Options,
    /// The user's function, without the attributes that are ours or the endpoint's.
    pub(crate) function: ItemFn,
    pub(crate) attrs: Attrs,
    pub(crate) params: Vec<Param>,
}

/// The function's attributes, by what they are to stand on.
#[derive(Default)]
pub(crate) struct Attrs {
    /// On each item that is generated.
    pub(crate) cfg: Vec<Attribute>,
    /// On the endpoint's struct: docs, and what is said to those who use it.
    pub(crate) endpoint: Vec<Attribute>,
    /// On the struct and on its `impl`, which holds the function.
    pub(crate) lints: Vec<Attribute>,
    /// On the function itself.
    pub(crate) function: Vec<Attribute>,
    /// `#[handler]`, which does what `#[session]` does: the paths, since their imports are to stay in use.
    pub(crate) handler: Vec<Path>,
}

pub(crate) struct Param {
    pub(crate) kind: Kind,
    pub(crate) ty: Type,
    pub(crate) cfg: Vec<Attribute>,
}

/// Where a parameter's value comes from.
pub(crate) enum Kind {
    /// Any Poem extractor, `Session<S>` and `S` among them.
    Extract,
    /// `&mut S`: a struct whose changed fields are written back. Its type is `S`.
    Edit(Type),
    /// `#[key(S::FIELD)]`.
    Key(ExprPath),
    /// It has an error.
    Broken,
}

impl Handler {
    pub(crate) fn from_function(ctxt: &Ctxt, options: TokenStream, mut function: ItemFn) -> Self {
        let options = Options::read(ctxt, options);
        let attrs = Attrs::sort(std::mem::take(&mut function.attrs));
        function.attrs.clone_from(&attrs.function);
        let params = function
            .sig
            .inputs
            .iter_mut()
            .filter_map(|input| match input {
                FnArg::Typed(param) => Some(Param::read(ctxt, param)),
                FnArg::Receiver(_) => None,
            })
            .collect();
        Self {
            options,
            function,
            attrs,
            params,
        }
    }

    pub(crate) fn private(&self) -> Private<'_> {
        Private(self.options.krate.as_ref())
    }

    /// The structs that are written back, with their position.
    pub(crate) fn edits(&self) -> impl Iterator<Item = (usize, &Param)> {
        self.params
            .iter()
            .enumerate()
            .filter(|(_, param)| matches!(param.kind, Kind::Edit(_)))
    }
}

impl Attrs {
    fn sort(attrs: Vec<Attribute>) -> Self {
        let mut sorted = Self::default();
        for attr in attrs {
            let path = attr.path();
            let is = |names: &[&str]| names.iter().any(|name| path.is_ident(name));
            if matches!(attr.style, AttrStyle::Inner(_)) {
                // Stands in the body, and stays there.
                sorted.function.push(attr);
            } else if is_handler(path) {
                sorted.handler.push(path.clone());
            } else if is(&["cfg"]) {
                sorted.cfg.push(attr);
            } else if is(&["doc", "deprecated"]) || expects_of_item(&attr) {
                sorted.endpoint.push(attr);
            } else if is(&["allow", "warn", "deny", "forbid"]) {
                sorted.lints.push(attr);
            } else {
                sorted.function.push(attr);
            }
        }
        sorted
    }
}

/// `#[expect]` has to stand where the lint is found: these are about the item that others see.
fn expects_of_item(attr: &Attribute) -> bool {
    const OF_ITEM: [&str; 3] = ["dead_code", "missing_docs", "unreachable_pub"];
    let mut found = false;
    if attr.path().is_ident("expect") {
        // What does not parse is for the compiler to refuse.
        let _ = attr.parse_nested_meta(|lint| {
            found |= OF_ITEM.iter().any(|name| lint.path.is_ident(name));
            if lint.input.peek(Token![=]) {
                lint.value()?.parse::<LitStr>()?;
            }
            Ok(())
        });
    }
    found
}

fn is_handler(path: &Path) -> bool {
    let names: Vec<String> = path
        .segments
        .iter()
        .map(|segment| segment.ident.to_string())
        .collect();
    names == ["handler"] || names == ["poem", "handler"]
}

impl Param {
    fn read(ctxt: &Ctxt, param: &mut PatType) -> Self {
        let keys = attr::take_keys(&mut param.attrs);
        let cfg = param
            .attrs
            .iter()
            .filter(|attr| attr.path().is_ident("cfg"));
        let cfg = cfg.cloned().collect();
        let kind = match (&keys[..], &*param.ty) {
            ([], Type::Reference(reference)) if reference.mutability.is_some() => {
                Kind::Edit((*reference.elem).clone())
            }
            ([], _) => Kind::Extract,
            ([key], _) => ctxt.ok(attr::key(key)).map_or(Kind::Broken, Kind::Key),
            ([_, second, ..], _) => {
                ctxt.error(second, "a parameter has one `#[key(…)]`; remove one");
                Kind::Broken
            }
        };
        Self {
            kind,
            ty: (*param.ty).clone(),
            cfg,
        }
    }
}
