//! Captures the log.

use std::{
    cell::RefCell,
    io,
    sync::{Arc, Mutex, Once},
};

use tracing::Level;

/// The log of this thread at all levels, until this is dropped. A `#[tokio::test]` has one thread.
pub(crate) struct Logs(Sink);

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

thread_local! {
    /// The sink of the log of this thread.
    static CAPTURED: RefCell<Option<Sink>> = const { RefCell::new(None) };
}

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut text = self.0.lock().expect("no write panics");
        text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Logs {
    pub(crate) fn capture() -> Self {
        // The program has one subscriber. With one for each thread, the interest that `tracing` caches for one
        // thread would apply to the others.
        static SUBSCRIBER: Once = Once::new();
        SUBSCRIBER.call_once(|| {
            tracing_subscriber::fmt()
                .with_max_level(Level::TRACE)
                .with_ansi(false)
                .with_writer(|| CAPTURED.with_borrow(Clone::clone).unwrap_or_default())
                .init();
        });
        let sink = Sink::default();
        CAPTURED.set(Some(sink.clone()));
        Self(sink)
    }

    pub(crate) fn text(&self) -> String {
        let text = self.0.0.lock().expect("no write panics");
        String::from_utf8(text.clone()).expect("logs are text")
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        CAPTURED.set(None);
    }
}
