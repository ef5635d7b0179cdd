//! What a person reads where an error is only printed for debugging.

/// `unwrap` and a `main` that returns an error print `Debug`: there too a person gets the sentence, with
/// cause, numbers and remedy.
macro_rules! debug_as_displayed {
    ($($error:ty),*) => {$(
        impl std::fmt::Debug for $error {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }
    )*};
}
pub(crate) use debug_as_displayed;
