//! `cargo xtask model`: plays new random histories of requests against the model.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::Verb;
use crate::steps::run;
use crate::test::cargo;

/// Plays new histories against the model.
pub(crate) const VERB: Verb = Verb {
    name: "model",
    arguments: "[--histories N] [--store NAME]",
    summary: "play N new random histories on each store against the model; without N, until interrupted",
    run: model,
};

/// The stores that the model test knows.
const STORES: [&str; 5] = ["memory", "sqlite", "redis", "postgres", "mariadb"];

/// How many histories are played with one seed, if their number is not given.
const ROUND: u32 = 2000;

/// The options on the command line.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    /// How many histories are played on each store; `None` means until interrupted.
    histories: Option<u32>,
    store: Option<&'static str>,
}

fn model(arguments: &[String]) -> Result<(), String> {
    let options = options(arguments)?;
    let stores = match &options.store {
        Some(store) => std::slice::from_ref(store),
        None => &STORES,
    };
    loop {
        for store in stores {
            play(store, options.histories.unwrap_or(ROUND), new_seed())?;
        }
        if options.histories.is_some() {
            return Ok(());
        }
    }
}

/// Plays the histories of one seed on one store.
fn play(store: &str, histories: u32, seed: u64) -> Result<(), String> {
    let variables = [
        ("MODEL_SEED", seed.to_string()),
        ("MODEL_HISTORIES", histories.to_string()),
    ];
    let test = format!("the_model_explains_every_history_on_{store}");
    let arguments = [
        "test",
        "--package",
        "poem-session-tests",
        "--all-features",
        "--test",
        "model",
        "--",
        "--exact",
        &test,
    ];
    let set = variables
        .each_ref()
        .map(|(name, value)| format!("{name}={value}"));
    println!("{}", set.join(" "));
    run(cargo().args(arguments).envs(variables)).map_err(|error| {
        format!(
            "{error}\nTo play the same histories again:\n    {} cargo {}",
            set.join(" "),
            arguments.join(" ")
        )
    })
}

/// A seed from the current time, so that each call returns another.
fn new_seed() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            since.as_secs() << 20 | u64::from(since.subsec_micros())
        })
}

fn options(arguments: &[String]) -> Result<Options, String> {
    let mut options = Options {
        histories: None,
        store: None,
    };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--histories" => {
                let number = arguments.next().and_then(|number| number.parse().ok());
                options.histories =
                    Some(number.filter(|number| *number > 0).ok_or(
                        "`--histories` needs a number above zero, as in `--histories 20000`",
                    )?);
            }
            "--store" => {
                let name = arguments.next();
                let known = STORES
                    .into_iter()
                    .find(|store| Some(*store) == name.map(String::as_str));
                options.store = Some(
                    known.ok_or_else(|| format!("`--store` needs one of {}", STORES.join(", ")))?,
                );
            }
            other => {
                return Err(format!(
                    "unknown option `{other}`; the options of `model` are --histories and --store"
                ));
            }
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(words: &[&str]) -> Result<Options, String> {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        options(&words)
    }

    #[test]
    fn without_options_histories_are_played_on_every_store_until_interrupted() {
        let expected = Options {
            histories: None,
            store: None,
        };
        assert_eq!(given(&[]), Ok(expected));
    }

    #[test]
    fn options_set_the_number_of_histories_and_the_store() {
        let expected = Options {
            histories: Some(20_000),
            store: Some("sqlite"),
        };
        assert_eq!(
            given(&["--store", "sqlite", "--histories", "20000"]),
            Ok(expected)
        );
    }

    #[test]
    fn unknown_options_are_refused_with_the_known_ones() {
        for words in [
            &["--histories"][..],
            &["--histories", "many"],
            &["--histories", "0"],
        ] {
            assert!(given(words).unwrap_err().contains("--histories 20000"));
        }
        let message = given(&["--store", "oracle"]).unwrap_err();
        assert!(message.contains("memory, sqlite, redis"), "{message}");
        assert!(given(&["sqlite"]).unwrap_err().contains("--store"));
    }
}
