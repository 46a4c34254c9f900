use poem_session::{Session, SessionData, session};

#[derive(SessionData)]
struct Shop {
    user: Option<u64>,
}

#[session]
async fn twice(_a: &mut Shop, _b: &mut Shop) {}

#[session]
async fn beside_the_session(_session: Session<Shop>, _shop: &mut Shop) {}

#[session]
async fn beside_a_snapshot(_shop: &mut Shop, _snapshot: Shop) {}

fn main() {}
