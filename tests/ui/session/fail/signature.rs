use poem_session::session;

#[session]
const fn constant() {}

#[session]
async unsafe fn dangerous() {}

#[session]
extern "C" fn foreign() {}

#[session]
unsafe extern "C" fn variadic(_: u8, _: ...) {}

fn main() {}
