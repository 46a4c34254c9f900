//! The data of a session that the header of every page shows.

use poem::{FromRequest, Request, RequestBody};
use poem_session::Session;

use crate::{
    cart, customers,
    pages::Visitor,
    sessions::{Account, Shop},
};

impl Visitor {
    /// Reads the data. This removes the notice from the session, so call it only if the response shows a page.
    pub(super) fn of(shop: &Session<Shop>, account: &Session<Account>) -> poem::Result<Self> {
        Ok(Self {
            items: cart::items(&shop.cart()?),
            name: account.user()?.map(|user| name_of(&user)),
            notice: shop.notice()?,
        })
    }
}

/// The name of a customer, or the user name if the account no longer exists.
pub(super) fn name_of(user: &str) -> String {
    customers::find(user)
        .map_or(user, |customer| customer.name)
        .to_owned()
}

/// An extractor may call other extractors, such as `Session`.
impl<'a> FromRequest<'a> for Visitor {
    async fn from_request(request: &'a Request, body: &mut RequestBody) -> poem::Result<Self> {
        let shop = Session::from_request(request, body).await?;
        let account = Session::from_request(request, body).await?;
        Self::of(&shop, &account)
    }
}
