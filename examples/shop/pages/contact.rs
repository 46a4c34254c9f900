//! The page with the contact form.

use maud::{Markup, html};
use serde::Deserialize;

use super::{Visitor, layout::page};

/// A message as the visitor entered it. A missing field is empty, and the page asks for it again.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Draft {
    pub(crate) name: String,
    pub(crate) message: String,
}

impl Draft {
    const LONGEST_NAME: usize = 100;
    const LONGEST_MESSAGE: usize = 2_000;

    fn name_fault(&self) -> Option<&'static str> {
        fault(
            &self.name,
            Self::LONGEST_NAME,
            "Please say who you are.",
            "Please use at most 100 characters.",
        )
    }

    fn message_fault(&self) -> Option<&'static str> {
        fault(
            &self.message,
            Self::LONGEST_MESSAGE,
            "Please write a line or two.",
            "Please use at most 2,000 characters.",
        )
    }

    /// Whether the message can be sent.
    pub(crate) fn is_complete(&self) -> bool {
        self.name_fault().is_none() && self.message_fault().is_none()
    }
}

fn fault(
    text: &str,
    longest: usize,
    empty: &'static str,
    long: &'static str,
) -> Option<&'static str> {
    match text.trim().chars().count() {
        0 => Some(empty),
        n if n > longest => Some(long),
        _ => None,
    }
}

/// `GET /contact`, and the response to a `POST` whose draft was `refused`.
pub(crate) fn contact(visitor: &Visitor, draft: &Draft, refused: bool) -> Markup {
    let name_fault = draft.name_fault().filter(|_| refused);
    let message_fault = draft.message_fault().filter(|_| refused);
    let content = html! {
        div.split {
            section {
                h1 { "Write to us" }
                p { "A question, a wish, a smudged page? We like letters, and read all of them." }
                form.fields method="post" action="/contact" {
                    label for="name" { "Your name" }
                    input #name name="name" value=(draft.name) required autocomplete="name"
                        maxlength=(Draft::LONGEST_NAME)
                        aria-invalid=[name_fault.and(Some("true"))]
                        aria-describedby=[name_fault.and(Some("name-fault"))];
                    @if let Some(fault) = name_fault { p.error #name-fault { (fault) } }
                    label for="message" { "Your message" }
                    textarea #message name="message" rows="6" required
                        maxlength=(Draft::LONGEST_MESSAGE)
                        aria-invalid=[message_fault.and(Some("true"))]
                        aria-describedby=[message_fault.and(Some("message-fault"))]
                        { (draft.message) }
                    @if let Some(fault) = message_fault { p.error #message-fault { (fault) } }
                    button { "Send" }
                }
            }
            section.card aria-labelledby="visit" {
                h2 #visit { "Or come by" }
                p { "3 Foolscap Lane, behind the old bindery. Ring twice." }
                p.small {
                    "The demo does not send your message. It stores a line of thanks in your session, and "
                    "the next page shows it once."
                }
            }
        }
    };
    page("Contact", "/contact", Some(visitor), &content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_needs_a_name_and_a_text_of_limited_length() {
        let draft = |name: &str, message: &str| Draft {
            name: name.to_owned(),
            message: message.to_owned(),
        };
        assert!(draft("Ada", "Hello").is_complete());
        assert!(!draft(" ", "Hello").is_complete());
        assert!(!draft("Ada", "\n").is_complete());
        assert!(!draft(&"a".repeat(101), "Hello").is_complete());
        assert!(draft("Ada", &"é".repeat(2_000)).is_complete());
    }
}
