use poem_session::{Session, SessionData, session};

#[derive(SessionData)]
struct Shop {
    user: Option<u64>,
}

macro_rules! handlers {
    ($($name:ident($value:ident: $of:ty, $key:path, $timeout:literal);)*) => {
        $(
            #[session(idle_timeout = $timeout)]
            async fn $name($value: $of, #[key($key)] user: u64, _: &mut Shop) -> poem::Result<String> {
                let local = user;
                Ok(format!("{:?} {local}", $value.get($key)?))
            }
        )*
    };
}

#[derive(SessionData)]
struct Other {}

handlers! {
    one(shop: Handle, Shop::USER, "1h");
}

type Handle = Session<Shop>;

fn main() {
    let _ = poem::get(one);
}
