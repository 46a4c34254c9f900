mod handlers {
    use poem_session::{Session, SessionData, session};

    #[derive(SessionData)]
    struct Private {
        user: Option<u64>,
    }

    /// A public handler can take a private struct.
    #[session]
    pub async fn public(session: Session<Private>, #[key(Private::USER)] _user: u64) -> poem::Result<()> {
        Ok(session.set_user(5)?)
    }

    #[session]
    pub(crate) async fn of_the_crate(_: Private) {}

    #[session]
    pub(super) fn of_the_parent(_: &mut Private) {}
}

fn main() {
    let _ = poem::get(handlers::public)
        .post(handlers::of_the_crate)
        .put(handlers::of_the_parent);
}
