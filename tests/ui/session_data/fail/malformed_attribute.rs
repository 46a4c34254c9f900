use poem_session::SessionData;

#[derive(SessionData)]
#[session = "shop"]
struct Shop {
    #[session]
    user: Option<u64>,
    #[session(rename)]
    a: Option<u64>,
    #[session(rename = key)]
    b: Option<u64>,
    #[session(flash = true)]
    c: Option<u64>,
    #[session(default(5))]
    d: u64,
    #[session("flash")]
    e: Option<u64>,
    #[session(flash skip)]
    f: Option<u64>,
}

#[derive(SessionData)]
#[session(crate = "my_crate")]
struct Other {}

fn main() {}
