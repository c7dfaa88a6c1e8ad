//! String tables.

use std::rc::Rc;

use crate::limits;

/// The names of a symbol table.
#[derive(Clone, Debug)]
pub(crate) struct Strings(Rc<[u8]>);

impl Strings {
    pub(crate) fn new(bytes: Rc<[u8]>) -> Self {
        Self(bytes)
    }

    pub(crate) fn empty() -> Self {
        Self(Rc::new([]))
    }

    /// The text that begins at `at`, without its NUL; `None` when it is empty,
    /// too long, or has no end.
    pub(crate) fn get(&self, at: u32) -> Option<&[u8]> {
        let rest = self.0.get(at as usize..)?;
        let len = memchr::memchr(0, &rest[..rest.len().min(limits::NAME)])?;
        (len > 0).then(|| &rest[..len])
    }

    /// A text whose end is known.
    pub(crate) fn slice(&self, at: u32, len: u16) -> &[u8] {
        let at = at as usize;
        self.0.get(at..at + usize::from(len)).unwrap_or_default()
    }
}

/// A hash of a name: good enough to find it, and no secret. Whoever makes many
/// names with one hash makes look-ups in his own file slower, not endless.
pub(crate) fn hash(name: &[u8]) -> u32 {
    use std::hash::Hasher;
    let mut hasher = rustc_hash::FxHasher::default();
    hasher.write(name);
    // The upper half is the better mixed one.
    (hasher.finish() >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_end_inside_their_table() {
        let strings = Strings::new(Rc::from(&b"\0abc\0def"[..]));
        assert_eq!(strings.get(1), Some(&b"abc"[..]));
        assert_eq!(strings.get(2), Some(&b"bc"[..]));
        assert_eq!(strings.get(0), None);
        assert_eq!(strings.get(5), None);
        assert_eq!(strings.get(u32::MAX), None);
        assert_eq!(strings.slice(1, 3), b"abc");
        assert_eq!(strings.slice(7, 3), b"");
        assert_eq!(Strings::empty().get(0), None);
        let long = vec![b'a'; limits::NAME + 1];
        assert_eq!(Strings::new(long.into()).get(0), None);
    }
}
