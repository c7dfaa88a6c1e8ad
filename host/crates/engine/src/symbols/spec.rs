//! `MODULE!NAME`.

use pai_symbols::Pattern;

use crate::error::Error;
use crate::symbols::modules::Loaded;

/// Which modules are meant.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    text: String,
    pattern: Pattern,
}

impl Spec {
    pub(crate) fn new(text: &str) -> Result<Self, Error> {
        let pattern = Pattern::new(text.as_bytes()).ok_or(Error::Limit("pattern-size"))?;
        Ok(Self {
            text: text.to_owned(),
            pattern,
        })
    }

    /// The module's part, if there is one, and the name's.
    pub(crate) fn split(text: &str) -> Result<(Option<Self>, &str), Error> {
        match text.split_once('!') {
            // C++ has names with a `!`, behind this word only.
            Some((module, name)) if !module.is_empty() && !module.ends_with("operator") => {
                Ok((Some(Self::new(module)?), name))
            }
            _ => Ok((None, text)),
        }
    }

    pub(crate) fn fits(&self, module: &Loaded) -> bool {
        if self.text.contains('/') {
            return self.means(module.path.as_bytes());
        }
        let names = [Some(module.name.as_bytes()), module.object.soname()];
        names.into_iter().flatten().any(|name| {
            let stem = without_version(name);
            self.means(name) || stem.is_some_and(|stem| self.text.as_bytes() == stem)
        })
    }

    /// As it stands: "[vdso]" would be a set of letters otherwise.
    fn means(&self, name: &[u8]) -> bool {
        self.text.as_bytes() == name || self.pattern.matches(name)
    }
}

/// "libc" of "libc.so.6".
fn without_version(name: &[u8]) -> Option<&[u8]> {
    let at = name.windows(3).position(|three| three == b".so")?;
    matches!(name.get(at + 3), None | Some(b'.')).then(|| &name[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_and_names_are_split() {
        let split = |text| {
            let (spec, name) = Spec::split(text).unwrap();
            (spec.map(|spec| spec.text), name)
        };
        let module = |name: &str| Some(name.to_owned());
        assert_eq!(split("main"), (None, "main"));
        assert_eq!(split("libc.so.6!mem*"), (module("libc.so.6"), "mem*"));
        assert_eq!(split("a!b!c"), (module("a"), "b!c"));
        assert_eq!(split("!x"), (None, "!x"));
        assert_eq!(split("ns::operator!=(int)"), (None, "ns::operator!=(int)"));
        assert_eq!(split("m!operator!"), (module("m"), "operator!"));
    }

    #[test]
    fn versions_of_libraries() {
        for (name, stem) in [
            (&b"libc.so.6"[..], Some(&b"libc"[..])),
            (b"libx.so", Some(b"libx")),
            (b"ld-linux-x86-64.so.2", Some(b"ld-linux-x86-64")),
            (b"a.sock", None),
            (b"hello", None),
        ] {
            assert_eq!(without_version(name), stem);
        }
    }
}
