use poem_session::SessionData;

#[derive(serde::Serialize, serde::Deserialize)]
struct Level(u8);

struct Cache;

#[derive(SessionData)]
struct Shop {
    #[session(default)]
    level: Level,
    #[session(skip)]
    cache: Cache,
}

fn main() {}
