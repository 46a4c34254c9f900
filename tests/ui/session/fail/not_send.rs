use poem_session::{Session, SessionData, session};

#[derive(SessionData)]
struct Shop {
    user: Option<u64>,
}

#[session]
async fn index(shop: Session<Shop>) {
    let local = std::rc::Rc::new(5);
    let _ = shop.save().await;
    drop(local);
}

fn main() {}
