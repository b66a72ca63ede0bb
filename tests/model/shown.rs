//! Values of the program as part of a state: compared and hashed by how they are shown.

use std::{
    fmt::{self, Debug, Formatter},
    hash::{Hash, Hasher},
    ops::Deref,
    sync::Arc,
};

/// A value that cannot be hashed itself, with the text that stands for it.
#[derive(Clone)]
pub(crate) struct Shown<T> {
    value: Arc<T>,
    text: Arc<str>,
}

impl<T: Debug> Shown<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { text: format!("{value:?}").into(), value: Arc::new(value) }
    }
}

impl<T> Debug for Shown<T> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl<T> Deref for Shown<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> PartialEq for Shown<T> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl<T> Eq for Shown<T> {}

impl<T> Hash for Shown<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}
