//! Contains panics: a handler that panics fails its own event and nothing else.
//!
//! While a contained future or closure runs, this thread's panics are remembered (message and place) instead of printed; all
//! others go to the hook that was there before.

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::pin::Pin;
use std::sync::Once;
use std::task::{Context, Poll};

/// A panic that was caught.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Panicked {
    pub(super) message: String,
    /// `file:line:column`.
    pub(super) location: Option<String>,
}

thread_local! {
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
    static LAST: RefCell<Option<Panicked>> = const { RefCell::new(None) };
}

/// A future whose panics are values.
pub(super) struct Contain<F>(pub(super) F);

impl<F: Future + Unpin> Future for Contain<F> {
    type Output = Result<F::Output, Panicked>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match contain(|| Pin::new(&mut self.0).poll(cx)) {
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(panicked) => Poll::Ready(Err(panicked)),
        }
    }
}

/// What `run` gives, or how it panicked.
pub(super) fn contain<T>(run: impl FnOnce() -> T) -> Result<T, Panicked> {
    install();
    let outer = CONTAINED.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(run));
    CONTAINED.set(outer);
    result.map_err(|payload| {
        let remembered = LAST.take();
        remembered.unwrap_or_else(|| Panicked { message: message(payload.as_ref()), location: None })
    })
}

fn install() {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
            if CONTAINED.get() {
                let location = info.location().map(ToString::to_string);
                LAST.set(Some(Panicked { message: message(info.payload()), location }));
            } else {
                before(info);
            }
        }));
    });
}

fn message(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_and_place_are_kept() {
        let panicked = contain(|| panic!("no {}", 7)).unwrap_err();
        assert_eq!(panicked.message, "no 7");
        assert!(panicked.location.is_some_and(|place| place.contains("contain.rs:")));
        assert_eq!(contain(|| 7), Ok(7));
        let odd = contain(|| panic::panic_any(7u8)).unwrap_err();
        assert_eq!(odd.message, "a panic without a message");
    }

    #[tokio::test]
    async fn a_future_may_panic_at_any_poll() {
        let later = Contain(Box::pin(async {
            tokio::task::yield_now().await;
            panic!("later")
        }));
        let ended: Result<(), _> = later.await;
        assert_eq!(ended.unwrap_err().message, "later");
    }
}
