use poem_session::session;

struct Item;

#[session]
async fn item() -> Item {
    Item
}

#[session]
async fn number() -> poem::Result<u64> {
    Ok(5)
}

#[session]
async fn error() -> Result<String, String> {
    Ok(String::new())
}

fn main() {}
