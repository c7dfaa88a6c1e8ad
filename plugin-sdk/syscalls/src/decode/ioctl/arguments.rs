//! What the argument of a request is.

use crate::decode::schema::{prelude::*, sets};

use super::{devices, files, kernel, pointers, requests, sockets, terminals};

/// Arguments by the names of requests.
pub(super) type Arguments = &'static [(&'static str, Type)];

/// Declares arguments: names of requests, and the type of the argument that they have.
macro_rules! arguments {
    ($table:ident $($($name:ident)+: $ty:expr;)*) => {
        pub(super) static $table: super::arguments::Arguments =
            &[$($((stringify!($name), $ty),)+)*];
    };
}
pub(super) use arguments;

sets! {}

const TABLES: &[Arguments] = &[
    terminals::ARGUMENTS,
    sockets::ARGUMENTS,
    files::ARGUMENTS,
    kernel::ARGUMENTS,
    devices::ARGUMENTS,
    pointers::ARGUMENTS,
];

/// The type of the argument of the request in a call of ioctl(2): hexadecimal digits for
/// one that is not known.
pub(super) fn of(view: &View<'_>) -> &'static Type {
    for name in requests::names(view.abi, view.arg32(1)) {
        let entries = TABLES.iter().flat_map(|table| table.iter());
        for (of, ty) in entries {
            if *of == name {
                return match ty {
                    // Which type may depend on what has become of the call.
                    Type::Pick(pick, _) => pick(view),
                    _ => ty,
                };
            }
        }
    }
    devices::of_events(view.arg32(1)).unwrap_or(&XLONG)
}
