#![deny(warnings)]

use poem_session::{Session, SessionData, session};

fn main() {
    #[derive(SessionData)]
    struct Shop {
        user: Option<u64>,
    }

    #[session]
    async fn index(shop: Session<Shop>) -> poem::Result<()> {
        Ok(shop.set_user(1)?)
    }

    #[session]
    fn generic<T: 'static>() -> &'static str {
        std::any::type_name::<T>()
    }

    let _ = poem::get(index).post(generic::<u8>::default());
    let _ = Shop { user: None }.user;
}
