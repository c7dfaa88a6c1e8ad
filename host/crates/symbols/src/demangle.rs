//! Names as programmers wrote them.

use std::fmt::{self, Write};
use std::time::{Duration, Instant};

use cpp_demangle::{DemangleOptions, ParseOptions, Symbol};

use crate::limits;

/// How deep a C++ name may be nested. The parser takes time exponential in the
/// depth when a name is made for that: minutes at its own limit of 96, some
/// milliseconds at this one. It is enough for all but 14 of 98000 names in the
/// libraries of a distribution.
const DEPTH: u32 = 48;

/// A text that may not grow without end: a short name can stand for a text of
/// any length, because it may refer to parts of itself.
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > limits::DEMANGLED {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

/// The name in the source, if it is a mangled one of Rust or C++. Without the
/// hash of a Rust name.
pub fn demangle(name: &[u8]) -> Option<String> {
    match parse(name)? {
        Parsed::Rust(name) => rust(&name, true),
        Parsed::Cpp(name) => cpp(&name, DemangleOptions::new()),
    }
}

enum Parsed<'a> {
    Rust(rustc_demangle::Demangle<'a>),
    Cpp(Symbol<&'a [u8]>),
}

/// Whether it looks like one, which is cheap to say.
pub(crate) fn is_mangled(name: &[u8]) -> bool {
    name.len() > 2
        && name.len() <= limits::MANGLED
        && (name.starts_with(b"_Z") || name.starts_with(b"_R"))
}

fn parse(name: &[u8]) -> Option<Parsed<'_>> {
    if !is_mangled(name) {
        return None;
    }
    if let Ok(text) = std::str::from_utf8(name)
        && (text.starts_with("_R") || has_rust_hash(text))
        && let Ok(name) = rustc_demangle::try_demangle(text)
    {
        return Some(Parsed::Rust(name));
    }
    let options = ParseOptions::default().recursion_limit(DEPTH);
    let name = Symbol::new_with_options(name, &options).ok()?;
    Some(Parsed::Cpp(name))
}

/// Rust's older mangling is that of C++, with a last part `h` and 16 digits.
fn has_rust_hash(name: &str) -> bool {
    name.rfind("17h")
        .and_then(|at| name.as_bytes().get(at + 3..at + 20))
        .is_some_and(|hash| hash[..16].iter().all(u8::is_ascii_hexdigit) && hash[16] == b'E')
}

fn rust(name: &rustc_demangle::Demangle<'_>, short: bool) -> Option<String> {
    let mut text = Bounded(String::new());
    let written = if short {
        write!(text, "{name:#}")
    } else {
        write!(text, "{name}")
    };
    written.ok().map(|()| text.0)
}

fn cpp(name: &Symbol<&[u8]>, options: DemangleOptions) -> Option<String> {
    let mut text = Bounded(String::new());
    let options = options.recursion_limit(DEPTH * 2);
    name.structured_demangle(&mut text, &options).ok()?;
    Some(text.0)
}

/// All texts under which a mangled name may be asked for: with and without the
/// hash in Rust; with and without parameters in C++.
pub(crate) fn spellings(name: &[u8]) -> impl Iterator<Item = String> {
    let (one, other) = match parse(name) {
        Some(Parsed::Rust(name)) => (rust(&name, true), rust(&name, false)),
        Some(Parsed::Cpp(name)) => (
            cpp(&name, DemangleOptions::new()),
            cpp(&name, DemangleOptions::new().no_params().no_return_type()),
        ),
        None => (None, None),
    };
    let other = other.filter(|other| Some(other) != one.as_ref());
    one.into_iter().chain(other)
}

/// How long demangling may go on: the only work here whose amount cannot be
/// told from the size of what it works on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    until: Instant,
}

impl Budget {
    pub(crate) fn new() -> Self {
        Self {
            until: Instant::now() + Duration::from_millis(limits::DEMANGLING),
        }
    }

    pub(crate) fn is_spent(self) -> bool {
        Instant::now() >= self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rust_and_cpp() {
        for (mangled, text) in [
            ("_ZN4core3fmt5write17h0123456789abcdefE", "core::fmt::write"),
            ("_RNvCs1234_7mycrate3foo", "mycrate::foo"),
            (
                "_RINvNtC3std3mem8align_ofjEC3foo",
                "std::mem::align_of::<usize>",
            ),
            ("_Z3fooi", "foo(int)"),
            ("_ZN2ns3Foo3barERKSs", "ns::Foo::bar(std::string const&)"),
            (
                "_ZNSt6vectorIiSaIiEE9push_backERKi",
                "std::vector<int, std::allocator<int> >::push_back(int const&)",
            ),
            ("_ZN2ns5valueE", "ns::value"),
        ] {
            assert_eq!(demangle(mangled.as_bytes()).as_deref(), Some(text));
        }
        for plain in [
            "", "_", "_Z", "_R", "main", "printf", "_Zebra", "_Roman", "_ZN",
        ] {
            assert_eq!(demangle(plain.as_bytes()), None, "{plain}");
        }
        assert_eq!(demangle(b"_Z\xff\xfe"), None);
    }

    #[test]
    fn every_spelling() {
        let of = |name: &str| spellings(name.as_bytes()).collect::<Vec<_>>();
        assert_eq!(of("_Z3fooi"), ["foo(int)", "foo"]);
        assert_eq!(of("_Z3fooIiEvT_"), ["void foo<int>(int)", "foo<int>"]);
        assert_eq!(of("_ZN2ns5valueE"), ["ns::value"]);
        assert_eq!(
            of("_ZN1a1b17h0123456789abcdefE"),
            ["a::b", "a::b::h0123456789abcdef"]
        );
        assert!(of("main").is_empty());
    }

    #[test]
    fn names_made_to_be_slow_are_given_up() {
        // Exponential in the parser.
        let slow = format!("_ZNcv{}", "T_I2bcptcv".repeat(400));
        assert_eq!(demangle(slow.as_bytes()), None);
        let slow = format!("_Zcv{}", "T0_I".repeat(900));
        assert_eq!(demangle(slow.as_bytes()), None);
        // Exponential in the text: each parameter is twice the one before.
        let mut long = "_Z1f1aIS_S_E".to_owned();
        for i in 0..40_u32 {
            let id = char::from_digit(i % 36, 36).map(|c| c.to_ascii_uppercase());
            let id = id.filter(|_| i < 36).map_or("10".to_owned(), String::from);
            long += &format!("1aIS{id}_S{id}_E");
        }
        assert!(demangle(long.as_bytes()).is_none_or(|text| text.len() <= limits::DEMANGLED));
        let long = format!("_Z{}", "a".repeat(limits::MANGLED));
        assert_eq!(demangle(long.as_bytes()), None);
    }
}
