//! What the pages' header needs to know of a session.

use poem::{FromRequest, Request, RequestBody};
use poem_session::Session;

use crate::{
    cart, customers,
    pages::Visitor,
    sessions::{Account, Shop},
};

impl Visitor {
    /// Takes the notice with it: to be asked for where a page will be shown.
    pub(super) fn of(shop: &Session<Shop>, account: &Session<Account>) -> poem::Result<Self> {
        Ok(Self {
            items: cart::items(&shop.cart()?),
            name: account.user()?.map(|user| name_of(&user)),
            notice: shop.notice()?,
        })
    }
}

/// How a customer is called; one whose account is gone, by the user name.
pub(super) fn name_of(user: &str) -> String {
    customers::find(user)
        .map_or(user, |customer| customer.name)
        .to_owned()
}

/// An extractor may use others: `Session` is one like any.
impl<'a> FromRequest<'a> for Visitor {
    async fn from_request(request: &'a Request, body: &mut RequestBody) -> poem::Result<Self> {
        let shop = Session::from_request(request, body).await?;
        let account = Session::from_request(request, body).await?;
        Self::of(&shop, &account)
    }
}
