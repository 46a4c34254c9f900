//! The contact form.

use poem::{
    IntoResponse, Response,
    http::StatusCode,
    web::{Form, Redirect},
};
use poem_session::{Session, session};

use crate::{
    pages::{self, Draft, Visitor},
    sessions::{Account, Shop},
};

/// `GET /contact`
#[session]
pub(crate) async fn show(visitor: Visitor) -> Response {
    let draft = Draft {
        name: visitor.name.clone().unwrap_or_default(),
        ..Draft::default()
    };
    pages::contact(&visitor, &draft, false).into_response()
}

/// `POST /contact`: stores a flash message and redirects. The next page shows the message once, even if it is
/// reloaded.
#[session]
pub(crate) async fn send(
    shop: Session<Shop>,
    account: Session<Account>,
    Form(draft): Form<Draft>,
) -> poem::Result<Response> {
    if !draft.is_complete() {
        let page = pages::contact(&Visitor::of(&shop, &account)?, &draft, true);
        return Ok(page
            .with_status(StatusCode::UNPROCESSABLE_ENTITY)
            .into_response());
    }
    shop.set_notice(format!(
        "Thank you, {}. Your letter is on our desk.",
        draft.name.trim()
    ))?;
    Ok(Redirect::see_other("/contact").into_response())
}
