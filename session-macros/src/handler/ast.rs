//! The model of a handler.

use proc_macro2::TokenStream;
use syn::{AttrStyle, Attribute, ExprPath, FnArg, ItemFn, LitStr, Pat, PatType, Path, Token, Type};

use super::attr::{self, Options};
use crate::{ctxt::Ctxt, private::Private};

/// A handler, its options and its parameters.
pub(crate) struct Handler {
    pub(crate) options: Options,
    /// The user's function, without the attributes that this macro reads or moves to the endpoint.
    pub(crate) function: ItemFn,
    pub(crate) attrs: Attrs,
    pub(crate) params: Vec<Param>,
}

/// The attributes of the function, by the generated items that they belong to.
#[derive(Default)]
pub(crate) struct Attrs {
    /// For every generated item.
    pub(crate) cfg: Vec<Attribute>,
    /// For the struct of the endpoint: docs, and lints that users of the endpoint see.
    pub(crate) endpoint: Vec<Attribute>,
    /// For the struct and its `impl`, which contains the function.
    pub(crate) lints: Vec<Attribute>,
    /// For the function itself.
    pub(crate) function: Vec<Attribute>,
    /// The paths of `#[handler]`, which is redundant. They are kept because their imports must stay used.
    pub(crate) handler: Vec<Path>,
}

/// A parameter of the function.
pub(crate) struct Param {
    pub(crate) kind: Kind,
    pub(crate) ty: Type,
    /// Whether it is written as `mut name: T`.
    pub(crate) is_mut: bool,
    pub(crate) cfg: Vec<Attribute>,
}

/// How the value of a parameter is extracted.
pub(crate) enum Kind {
    /// Any Poem extractor, `Session<S>` and `S` among them.
    Extract,
    /// `&mut S`: a struct whose changed fields are written back. Contains `S`.
    Edit(Box<Type>),
    /// `#[key(S::FIELD)]`.
    Key(ExprPath),
    /// The parameter has an error.
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

    /// The parameters `&mut S`, with their positions.
    pub(crate) fn edits(&self) -> impl Iterator<Item = (usize, &Param)> {
        self.params
            .iter()
            .enumerate()
            .filter(|(_, param)| matches!(param.kind, Kind::Edit(_)))
    }
}

impl Attrs {
    /// Sorts the attributes of a function.
    fn sort(attrs: Vec<Attribute>) -> Self {
        let mut sorted = Self::default();
        for attr in attrs {
            let path = attr.path();
            let is = |names: &[&str]| names.iter().any(|name| path.is_ident(name));
            if matches!(attr.style, AttrStyle::Inner(_)) {
                // An attribute in the body of the function stays there.
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

/// Whether this is an `#[expect]` of a lint that the compiler reports at the struct of the endpoint. It must be
/// on that struct, because elsewhere the expectation is not fulfilled.
fn expects_of_item(attr: &Attribute) -> bool {
    const OF_ITEM: [&str; 3] = ["dead_code", "missing_docs", "unreachable_pub"];
    let mut found = false;
    if attr.path().is_ident("expect") {
        // The compiler reports an `#[expect]` that does not parse.
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

/// Whether this is the path of the attribute `#[handler]`.
fn is_handler(path: &Path) -> bool {
    let names: Vec<String> = path
        .segments
        .iter()
        .map(|segment| segment.ident.to_string())
        .collect();
    names == ["handler"] || names == ["poem", "handler"]
}

impl Param {
    /// Reads a parameter, and removes `#[key]` from its attributes.
    fn read(ctxt: &Ctxt, param: &mut PatType) -> Self {
        let keys = attr::take_keys(&mut param.attrs);
        let cfg = param
            .attrs
            .iter()
            .filter(|attr| attr.path().is_ident("cfg"));
        let cfg = cfg.cloned().collect();
        let kind = match (&keys[..], &*param.ty) {
            ([], Type::Reference(reference)) if reference.mutability.is_some() => {
                Kind::Edit(reference.elem.clone())
            }
            ([], _) => Kind::Extract,
            ([key], _) => ctxt.ok(attr::key(key)).map_or(Kind::Broken, Kind::Key),
            ([_, second, ..], _) => {
                ctxt.error(second, "a parameter has only one `#[key(…)]`; remove one");
                Kind::Broken
            }
        };
        Self {
            kind,
            ty: (*param.ty).clone(),
            is_mut: matches!(&*param.pat, Pat::Ident(name) if name.mutability.is_some()),
            cfg,
        }
    }
}
