//! A flash message: the next page shows it once.
//!
//! ```sh
//! cargo run --bin flash
//!
//! curl -c jar -b jar -L -d text=Hello http://127.0.0.1:3000/      # Saved.  1. Hello
//! curl -c jar -b jar http://127.0.0.1:3000/                       # 1. Hello
//! curl -c jar -b jar -L -d text= http://127.0.0.1:3000/           # A note needs words.  1. Hello
//! ```

use std::error::Error;

use poem::{
    EndpointExt, Route, get,
    web::{Form, Redirect},
};
use poem_session::{Session, SessionData, Sessions, session, store::MemoryStore};
use poem_session_examples::serve;
use serde::Deserialize;

#[derive(SessionData)]
struct Notes {
    #[session(default)]
    texts: Vec<String>,
    /// Removed when it is read, and kept until then.
    #[session(flash)]
    notice: Option<String>,
}

#[derive(Deserialize)]
struct Note {
    text: String,
}

#[session]
async fn show(notes: Session<Notes>) -> poem::Result<String> {
    let notice = notes.notice()?.into_iter();
    let texts = (1..).zip(notes.texts()?);
    let lines = notice.chain(texts.map(|(number, text)| format!("{number}. {text}")));
    Ok(lines.map(|line| line + "\n").collect())
}

/// Returns a redirect, so that reloading the page does not send the form again.
#[session]
async fn save(notes: Session<Notes>, Form(note): Form<Note>) -> poem::Result<Redirect> {
    if note.text.is_empty() {
        notes.set_notice("A note needs words.".into())?;
    } else {
        notes.update_texts(move |texts| texts.push(note.text.clone()))?;
        notes.set_notice("Saved.".into())?;
    }
    Ok(Redirect::see_other("/"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let sessions = Sessions::builder(MemoryStore::new()).build()?;
    let app = Route::new().at("/", get(show).post(save)).with(sessions);
    Ok(serve(app).await?)
}
