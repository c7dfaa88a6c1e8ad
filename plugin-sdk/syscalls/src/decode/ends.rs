//! The two ends of a walk: where bytes come from, and what is made of them.

use crate::abi::Abi;

use super::captured::When;
use super::schema::{Arg, Dir, Field, Len, Look, Return, Struct, Style, Type, Width};
use super::value::Value;
use super::view::View;

/// What is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// An object whose bytes are all there is.
    Plain,
    /// One that holds pointers, or says how much more there is.
    Leading,
    /// Text up to a NUL byte.
    Text,
}

impl Purpose {
    /// What an object of this type is read for.
    pub(crate) const fn of(ty: &Type) -> Self {
        match ty {
            Type::Scalar(..)
            | Type::Absent
            | Type::Pad(_)
            | Type::Chars(_)
            | Type::Raw(..)
            | Type::Special(..)
            | Type::Naming(..) => Self::Plain,
            Type::Fixed(of, _) | Type::Then(of, _) => Self::of(of),
            Type::Struct(structure) => structure.purpose,
            _ => Self::Leading,
        }
    }

    /// What a structure with these fields is read for. A loop, since this runs in the
    /// compiler.
    pub(crate) const fn of_fields(fields: &[Field]) -> Self {
        let mut index = 0;
        while index < fields.len() {
            if !matches!(Self::of(&fields[index].ty), Self::Plain) {
                return Self::Leading;
            }
            index += 1;
        }
        Self::Plain
    }
}

/// At which ends of a call something may have to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reads {
    pub(crate) enter: bool,
    pub(crate) exit: bool,
}

impl Reads {
    const NONE: Self = Self {
        enter: false,
        exit: false,
    };
    const ENTER: Self = Self {
        enter: true,
        exit: false,
    };
    const EXIT: Self = Self {
        enter: false,
        exit: true,
    };
    /// As far as can be told here.
    const BOTH: Self = Self {
        enter: true,
        exit: true,
    };

    pub(crate) const fn at(self, end: When) -> bool {
        match end {
            When::Enter => self.enter,
            When::Exit => self.exit,
        }
    }

    const fn or(self, other: Self) -> Self {
        Self {
            enter: self.enter | other.enter,
            exit: self.exit | other.exit,
        }
    }

    /// Of an argument.
    const fn of(ty: &Type) -> Self {
        match ty {
            Type::Scalar(..)
            | Type::Absent
            | Type::Pad(_)
            | Type::Special(..)
            | Type::Naming(..) => Self::NONE,
            Type::Then(of, _) => Self::of(of),
            Type::Text | Type::Path | Type::Strings | Type::Environ => Self::ENTER,
            Type::To(dir, of) => Self::behind(*dir, of),
            Type::Sized(dir, len, of) | Type::Array(dir, of, len) => {
                Self::behind(*dir, of).or(Self::of_len(len))
            }
            Type::Bytes(dir, len, _) => Self::of_dir(*dir).or(Self::of_len(len)),
            _ => Self::BOTH,
        }
    }

    const fn of_dir(dir: Dir) -> Self {
        match dir {
            Dir::In => Self::ENTER,
            Dir::Out | Dir::Always => Self::EXIT,
            Dir::InOut | Dir::InOutAlways => Self::BOTH,
        }
    }

    /// What a pointer leads to may lead on.
    const fn behind(dir: Dir, of: &Type) -> Self {
        match Purpose::of(of) {
            Purpose::Plain => Self::of_dir(dir),
            _ => Self::BOTH,
        }
    }

    const fn of_len(len: &Len) -> Self {
        match len {
            Len::At(_) => Self::BOTH,
            Len::Map(len, _) => Self::of_len(len),
            _ => Self::NONE,
        }
    }

    /// Of a call. A loop, since this runs in the compiler.
    pub(crate) const fn of_call(args: &[Arg], ret: &Return, picks: bool) -> Self {
        if picks {
            return Self::BOTH;
        }
        let mut reads = if ret.also.is_empty() {
            Self::NONE
        } else {
            Self::EXIT
        };
        let mut index = 0;
        while index < args.len() {
            reads = reads.or(Self::of(&args[index].ty));
            index += 1;
        }
        reads
    }
}

/// Where bytes come from.
pub(crate) trait Memory<'a> {
    /// Up to `len` bytes from `addr`, as far as they are known.
    fn get(&self, when: When, addr: u64, len: usize, purpose: Purpose) -> &'a [u8];

    /// Whether what is behind so many bytes from an address was left out because there was
    /// no room for it.
    fn is_cut(&self, _: When, _: u64, _: usize) -> bool {
        false
    }
}

/// What is made of them.
pub(crate) trait Build {
    type Out;
    type Items: Default;
    type Fields: Default;

    /// `when` it was there: registers are those of the entry.
    fn scalar(&self, value: u64, width: Width, style: Style, abi: Abi, when: When) -> Self::Out;
    fn address(&self, addr: u64) -> Self::Out;
    fn bytes(&self, data: &[u8], more: bool, whole: bool, look: Look) -> Self::Out;
    fn special(&self, read: fn(&View<'_>) -> Value, view: &View<'_>) -> Self::Out;
    fn naming(&self, read: fn(&View<'_>) -> Value, view: &View<'_>) -> Self::Out;
    fn then(
        &self,
        value: Self::Out,
        make: fn(Value, &View<'_>) -> Value,
        view: &View<'_>,
    ) -> Self::Out;
    fn to(&self, addr: u64, value: Self::Out) -> Self::Out;
    fn changed(&self, addr: u64, before: Self::Out, after: Self::Out) -> Self::Out;
    fn item(&self, items: &mut Self::Items, value: Self::Out);
    fn array(&self, items: Self::Items, more: Option<u64>, missing: bool) -> Self::Out;
    fn counted(
        &self,
        addr: u64,
        items: Self::Items,
        more: Option<u64>,
        missing: bool,
        count: usize,
    ) -> Self::Out;
    fn field(&self, fields: &mut Self::Fields, of: &'static Field, value: Self::Out);
    fn structure(
        &self,
        of: &'static Struct,
        fields: Self::Fields,
        more: bool,
        view: &View<'_>,
    ) -> Self::Out;
}
