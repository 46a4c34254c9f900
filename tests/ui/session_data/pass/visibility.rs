mod shop {
    use poem_session::SessionData;

    #[derive(SessionData)]
    pub struct Shop {
        pub cart: Option<Vec<u64>>,
        pub(crate) user: Option<Private>,
        secret: Option<Private>,
    }

    #[derive(serde::Serialize, serde::Deserialize)]
    pub(crate) struct Private;

    pub(super) mod inside {
        use super::Shop;

        pub fn methods(session: &poem_session::Session<Shop>) {
            let _ = (session.cart(), session.user(), session.secret());
            let _ = Shop::SECRET;
        }
    }
}

fn methods(session: &poem_session::Session<shop::Shop>) {
    let _ = (session.cart(), session.user());
    let _ = (shop::Shop::CART, shop::Shop::USER);
}

fn main() {
    let _ = (methods, shop::inside::methods);
}
