//! Numbers and names of requests (linux/ioctl.h, and the headers that each type names).
//!
//! In a number are a direction, the size of what the argument leads to, a type, and a
//! number of that type. Different drivers use the same ones.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;

use crate::abi::{self, Abi};

mod sized;
mod to_4f;
mod to_6f;
mod to_ff;

/// A request: number, number where a `long` has 4 bytes, name. Sorted by the lower 16
/// bits, type and number, in which both are the same.
pub(super) type Request = (u32, u32, &'static str);

/// Declares requests: `NAME = number`, or `NAME = number or number` if there is another
/// one for i386.
macro_rules! requests {
    ($table:ident $($name:ident = $number:literal $(or $narrow:literal)?,)*) => {
        pub(super) static $table: &[super::Request] = &[$((
            $number,
            $crate::decode::declare::optional!($number $(, $narrow)?),
            stringify!($name),
        )),*];
    };
}
use requests;

const TABLES: &[&[Request]] = &[to_4f::REQUESTS, to_6f::REQUESTS, to_ff::REQUESTS];

/// The numbers of all of them.
#[cfg(test)]
pub(super) fn numbers() -> impl Iterator<Item = u32> {
    TABLES
        .iter()
        .flat_map(|table| table.iter().map(|(number, ..)| *number))
}

const fn key(number: u32) -> u32 {
    number & 0xffff
}

/// All names of a request that have no parameter, in order of the alphabet.
pub(super) fn names(abi: Abi, request: u32) -> impl Iterator<Item = &'static str> {
    let narrow = abi == abi::I386;
    TABLES.iter().flat_map(move |table| {
        let from = table.partition_point(|(number, ..)| key(*number) < key(request));
        let of_key = table
            .iter()
            .skip(from)
            .take_while(move |(number, ..)| key(*number) == key(request));
        of_key.filter_map(move |(wide, other, name)| {
            let number = if narrow { other } else { wide };
            (*number == request).then_some(*name)
        })
    })
}

/// The parts of a number (asm-generic/ioctl.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) dir: u32,
    pub(super) ty: u32,
    pub(super) nr: u32,
    pub(super) size: u32,
}

impl Parts {
    pub(super) const NONE: u32 = 0;
    pub(super) const WRITE: u32 = 1;
    pub(super) const READ: u32 = 2;

    pub(super) const fn of(request: u32) -> Self {
        Self {
            dir: request >> 30,
            ty: request >> 8 & 0xff,
            nr: request & 0xff,
            size: request >> 16 & 0x3fff,
        }
    }
}

/// A request in words: its names, or its parts.
pub(super) fn words(abi: Abi, request: u32) -> Cow<'static, str> {
    let mut found: Option<Cow<'static, str>> = None;
    let all = names(abi, request).map(Cow::Borrowed);
    // Names with parameters are of whole types, and come first.
    for name in sized::name(request).into_iter().map(Cow::Owned).chain(all) {
        found = Some(match found {
            None => name,
            Some(before) => Cow::Owned(format!("{before} or {name}")),
        });
    }
    found.unwrap_or_else(|| Cow::Owned(unknown(request)))
}

fn unknown(request: u32) -> String {
    let Parts { dir, ty, nr, size } = Parts::of(request);
    let dir = match dir {
        Parts::NONE => "_IOC_NONE",
        Parts::WRITE => "_IOC_WRITE",
        Parts::READ => "_IOC_READ",
        _ => "_IOC_READ|_IOC_WRITE",
    };
    let hex = |number: u32| match number {
        0 => String::from("0"),
        _ => format!("{number:#x}"),
    };
    format!("_IOC({dir}, {}, {}, {})", hex(ty), hex(nr), hex(size))
}

#[cfg(test)]
mod tests {
    use super::{TABLES, key, words};
    use crate::abi;

    #[test]
    fn requests_are_sorted() {
        for table in TABLES {
            assert!(table.is_sorted_by_key(|(number, _, name)| (key(*number), *name)));
            assert!(table.iter().all(|(one, other, _)| key(*one) == key(*other)));
        }
    }

    #[test]
    fn words_are_names_or_parts() {
        for (request, is) in [
            (0x5401, "TCGETS"),
            (0x5402, "SNDCTL_TMR_START or TCSETS"),
            (0x8008_1272, "BLKGETSIZE64"),
            (0x5499, "_IOC(_IOC_NONE, 0x54, 0x99, 0)"),
            (0xc004_0001, "_IOC(_IOC_READ|_IOC_WRITE, 0, 0x1, 0x4)"),
        ] {
            assert_eq!(words(abi::X86_64, request), is);
        }
        assert_eq!(words(abi::I386, 0x8004_1272), "BLKGETSIZE64");
    }
}
