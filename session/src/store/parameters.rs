//! The parameters of a store's URL: the part after `?`.

use std::borrow::Cow;

/// The parts of a URL around its parameters.
pub(crate) struct Parts<'a> {
    /// The part before `?`.
    pub(crate) base: &'a str,
    /// The parameters, without `?`.
    pub(crate) query: &'a str,
    /// The fragment including the `#`, or empty.
    pub(crate) fragment: &'a str,
}

impl<'a> Parts<'a> {
    pub(crate) fn of(url: &'a str) -> Self {
        let (rest, fragment) = url.split_at(url.find('#').unwrap_or(url.len()));
        let (base, query) = rest.split_once('?').unwrap_or((rest, ""));
        Self {
            base,
            query,
            fragment,
        }
    }
}

/// The parameters of a URL. Each of them is known.
pub(crate) struct Parameters<'a>(Vec<Parameter<'a>>);

struct Parameter<'a> {
    name: Cow<'a, str>,
    value: Cow<'a, str>,
    /// The parameter as the URL contains it.
    text: &'a str,
}

/// The longest name of a parameter that an error shows.
const LONGEST: usize = 40;

impl<'a> Parameters<'a> {
    /// Parses the part of a URL after `?`. `own` names the parameters that the store reads, `others` those that
    /// its driver reads. If `others` contains `name[]`, the driver also reads `name[any text]`.
    ///
    /// # Errors
    /// The text of the error, if a parameter is unknown, or one of `own` is there twice. It shows no value.
    pub(crate) fn parse(query: &'a str, own: &[&str], others: &[&str]) -> Result<Self, String> {
        let mut parameters: Vec<Parameter<'a>> = Vec::new();
        for text in query.split('&').filter(|text| !text.is_empty()) {
            let mut pairs = form_urlencoded::parse(text.as_bytes());
            let (name, value) = pairs.next().unwrap_or_default();
            if own.contains(&&*name) {
                if parameters.iter().any(|other| other.name == name) {
                    return Err(format!("the URL has the parameter `{name}` twice"));
                }
            } else if !others.iter().any(|other| is_called(&name, other)) {
                return Err(unknown(query, &name, own, others));
            }
            parameters.push(Parameter { name, value, text });
        }
        Ok(Self(parameters))
    }

    /// Returns the value of the parameter of this name, and removes the parameter.
    pub(crate) fn take(&mut self, name: &str) -> Option<Cow<'a, str>> {
        let at = self.0.iter().position(|other| other.name == name)?;
        Some(self.0.remove(at).value)
    }

    /// Returns the value of the first parameter that has one of these names.
    pub(crate) fn get(&self, names: &[&str]) -> Option<&str> {
        let parameter = self.0.iter().find(|other| names.contains(&&*other.name))?;
        Some(&parameter.value)
    }

    /// Returns the parameters as a part of a URL, without `?`.
    pub(crate) fn query(&self) -> String {
        let texts: Vec<_> = self.0.iter().map(|parameter| parameter.text).collect();
        texts.join("&")
    }
}

/// Returns whether a parameter is one that `known` names.
fn is_called(name: &str, known: &str) -> bool {
    match known.strip_suffix(']') {
        Some(start) => name.starts_with(start) && name.ends_with(']'),
        None => name == known,
    }
}

/// Returns the text of the error about an unknown parameter.
fn unknown(query: &str, name: &str, own: &[&str], others: &[&str]) -> String {
    let known: Vec<_> = own.iter().chain(others).copied().collect();
    let known = match known.as_slice() {
        [] => "the store has none".to_owned(),
        known => format!("known parameters are {}", known.join(", ")),
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.[]".contains(&byte);
    // If a password contains `?`, its end looks like a parameter, and an `@` follows.
    if query.contains('@') || name.is_empty() || name.len() > LONGEST || !name.bytes().all(is_plain)
    {
        format!("the URL has an unknown parameter after `?`; {known}")
    } else {
        format!("the URL has the unknown parameter `{name}`; {known}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: [&str; 2] = ["table", "pool_mode"];
    const OTHERS: [&str; 3] = ["sslmode", "options", "options[]"];

    fn parse(query: &str) -> Result<Parameters<'_>, String> {
        Parameters::parse(query, &OWN, &OTHERS)
    }

    #[test]
    fn a_url_is_split_at_its_parameters_and_its_fragment() {
        let parts = Parts::of("redis://host/1?a=1&b#c?d");
        assert_eq!(
            (parts.base, parts.query, parts.fragment),
            ("redis://host/1", "a=1&b", "#c?d")
        );
        let parts = Parts::of("redis://host");
        assert_eq!(
            (parts.base, parts.query, parts.fragment),
            ("redis://host", "", "")
        );
    }

    #[test]
    fn the_driver_gets_its_own_parameters_unchanged() {
        let query = "sslmode=a%20b&table=shop%2Esessions&&options[x]=1&options=-c+y";
        let mut parameters = parse(query).expect("known parameters");
        assert_eq!(parameters.take("table").as_deref(), Some("shop.sessions"));
        assert_eq!(parameters.take("table"), None);
        assert_eq!(parameters.get(&["ssl-mode", "sslmode"]), Some("a b"));
        assert_eq!(parameters.get(&["table"]), None);
        assert_eq!(
            parameters.query(),
            "sslmode=a%20b&options[x]=1&options=-c+y"
        );
    }

    #[test]
    fn an_unknown_parameter_is_named() {
        let error = parse("sslmode=x&tabel=hunter2").err().expect("a typo");
        assert_eq!(
            error,
            "the URL has the unknown parameter `tabel`; \
             known parameters are table, pool_mode, sslmode, options, options[]"
        );
        for unknown in ["Table", "options[", "tables", "table[]"] {
            let error = parse(unknown).err().expect("an unknown parameter");
            assert!(error.contains(&format!("`{unknown}`")), "{error}");
        }
        let error = Parameters::parse("x", &[], &[]).err().expect("no store");
        assert!(error.ends_with("the store has none"), "{error}");
    }

    #[test]
    fn an_unknown_parameter_that_may_be_a_password_is_not_shown() {
        let long = "hunter2".repeat(6);
        for query in [
            "hunter2@host/db",
            "hunter2&x@host/db",
            "hunter2=x@host/db",
            "hunter2/x",
            "hunter2%20x",
            long.as_str(),
        ] {
            let error = parse(query).err().expect("an unknown parameter");
            assert!(!error.contains("hunter2"), "{error}");
            assert!(error.contains("known parameters are table"), "{error}");
        }
    }

    #[test]
    fn a_parameter_of_the_store_is_there_once() {
        let error = parse("table=a&sslmode=b&table=hunter2").err();
        assert_eq!(
            error.as_deref(),
            Some("the URL has the parameter `table` twice")
        );
    }
}
