//! The command line.

use lexopt::{
    Arg::{Long, Short},
    Parser, ValueExt,
};
use poem_session_examples::DEFAULT_ADDRESS;

pub(crate) const HELP: &str = "\
A small shop that stores carts and sign-ins in sessions.

Usage: shop [--listen ADDRESS] [--store STORE]

Options:
  --listen ADDRESS  the address to listen on [default: 127.0.0.1:3000]; port 0 means any free port
  --store STORE     the session store [default: memory]
                      memory         in this process; sessions are lost when it ends
                      sqlite:PATH    in a file, which is created if it does not exist
                    or any other address that poem_session::store::connect accepts
  --help            print this help and exit
";

#[derive(Debug, PartialEq)]
pub(crate) enum Options {
    Help,
    Serve { listen: String, store: String },
}

impl Options {
    /// Reads the command line.
    pub(crate) fn parse(mut arguments: Parser) -> Result<Self, lexopt::Error> {
        let mut listen = DEFAULT_ADDRESS.to_owned();
        let mut store = "memory:".to_owned();
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("listen") => listen = arguments.value()?.string()?,
                Long("store") => store = arguments.value()?.string()?,
                Long("help") | Short('h') => return Ok(Self::Help),
                other => return Err(other.unexpected()),
            }
        }
        if store == "memory" {
            store.push(':');
        }
        Ok(Self::Serve { listen, store })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Options, lexopt::Error> {
        Options::parse(Parser::from_args(arguments))
    }

    fn serve(listen: &str, store: &str) -> Options {
        Options::Serve {
            listen: listen.to_owned(),
            store: store.to_owned(),
        }
    }

    #[test]
    fn options_have_defaults() {
        assert_eq!(parse(&[]).unwrap(), serve("127.0.0.1:3000", "memory:"));
        assert_eq!(
            parse(&["--store", "memory", "--listen=127.0.0.1:0"]).unwrap(),
            serve("127.0.0.1:0", "memory:")
        );
        assert_eq!(
            parse(&["--store", "sqlite:a.db"]).unwrap(),
            serve("127.0.0.1:3000", "sqlite:a.db")
        );
    }

    #[test]
    fn unknown_and_incomplete_options_are_refused() {
        assert!(parse(&["--port", "1"]).is_err());
        assert!(parse(&["sqlite:a.db"]).is_err());
        assert!(parse(&["--store"]).is_err());
        assert_eq!(parse(&["-h"]).unwrap(), Options::Help);
    }
}
