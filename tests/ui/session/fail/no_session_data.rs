use poem_session::session;

struct Shop {
    user: Option<u64>,
}

#[session]
async fn written_back(_shop: &mut Shop) {}

#[session]
async fn snapshot(_shop: Shop) {}

fn main() {}
