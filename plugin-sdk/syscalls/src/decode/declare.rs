//! Macros that declare descriptions.

#[cfg(doc)]
use super::schema::{Call, Set, Struct};

/// Declares [`Set`]s: a name, what strace writes behind unknown values, and names and
/// values in the order in which they show.
///
/// ```text
/// sets! {
///     /// lseek(2)
///     WHENCE "SEEK_???" { SEEK_SET = 0, SEEK_CUR = 1 }
///     FLAGS "O_???" { O_CREAT = 0o100 }
///     SOCK "SOCK_???" as Parts first(0xf => SOCK_TYPE) { SOCK_CLOEXEC = 0o2000000 }
///     OPEN "O_???" first(0o3 => ACCESS) and(FLAGS) {}
/// }
/// ```
macro_rules! sets {
    ($(
        $(#[$doc:meta])* $set:ident $unknown:literal $(as $numbers:ident)?
        $(first($($first_mask:expr => $first:ident),+))?
        $(last($($last_mask:expr => $last:ident),+))?
        $(and($base:ident))?
        { $($name:ident = $value:expr),* $(,)? }
    )*) => {$(
        $(#[$doc])*
        pub(crate) static $set: $crate::decode::schema::Set = $crate::decode::schema::Set {
            names: &[$(($value, stringify!($name))),*],
            base: $crate::decode::declare::optional!(None $(, Some(&$base))?),
            first: &[$($(($first_mask, &$first)),+)?],
            last: &[$($(($last_mask, &$last)),+)?],
            unknown: $unknown,
            numbers: $crate::decode::declare::optional!(
                $crate::decode::schema::Numbers::Hex
                $(, $crate::decode::schema::Numbers::$numbers)?
            ),
        };
    )*};
}
pub(crate) use sets;

/// Declares [`Struct`]s, as in C: `name: TYPE`; `[verbose] name: TYPE` for what only
/// shows with everything, `[apart]` if what is shown does not even depend on it;
/// `name: TYPE; 3` for a bit field of three bits.
///
/// ```text
/// structs! {
///     /// clock_gettime(2)
///     TIMESPEC "timespec" { tv_sec: LONG, tv_nsec: ULONG }
///     EPOLL_EVENT "epoll_event" packed { .. }
///     STAT "stat" (arrange_stat) { .. }
/// }
/// ```
macro_rules! structs {
    ($(
        $(#[$doc:meta])* $structure:ident $name:literal $($packed:ident)? $(($arrange:path))?
        { $($([$mark:ident])? $field:ident : $ty:expr $(; $bits:literal)?),* $(,)? }
    )*) => {$(
        $(#[$doc])*
        pub(crate) static $structure: $crate::decode::schema::Struct = {
            const PACKED: bool = $crate::decode::declare::marked!($($packed)?);
            static FIELDS: &[$crate::decode::schema::Field] = &$crate::decode::layout::placed([
                $($crate::decode::schema::Field {
                    name: $crate::decode::declare::in_c(stringify!($field)),
                    ty: $ty,
                    bits: $crate::decode::declare::optional!(0 $(, $bits)?),
                    verbose: $crate::decode::declare::marked!($($mark)?),
                    apart: $crate::decode::declare::apart!($($mark)?),
                    places: $crate::decode::layout::UNPLACED,
                }),*
            ], PACKED);
            $crate::decode::schema::Struct {
                name: $name,
                fields: FIELDS,
                layouts: $crate::decode::layout::of_fields(FIELDS, PACKED),
                purpose: $crate::decode::ends::Purpose::of_fields(FIELDS),
                arrange: $crate::decode::declare::optional!(None $(, Some($arrange))?),
            }
        };
    )*};
}
pub(crate) use structs;

/// Declares [`Call`]s, one line each. `name @ 2: TYPE` is an argument in another
/// register than the next one; `[named] name: TYPE` one that shows with its name.
///
/// ```text
/// calls! { CALLS
///     openat(dfd: DIRFD, filename: Path, flags: flags(&OPEN), mode: OPEN_MODE) -> FD;
///     fcntl by fcntl_by_command (fd: FD, cmd: one(&FCNTL), arg: XLONG) -> LONG;
///     poll(..) -> I32, note(poll_ready, 0: REVENTS);
/// }
/// ```
macro_rules! calls {
    ($table:ident $(
        $(#[$doc:meta])*
        $name:ident $(by $pick:ident)? $(in $memory:ident)?
        ($($([$mark:ident])? $arg:ident $(@ $register:literal)? : $ty:expr),* $(,)?)
        -> $ret:expr $(, note($note:path $(, $index:literal : $also:expr)*))? ;
    )*) => {
        pub(crate) static $table: &[$crate::decode::schema::Call] = &[$({
            const ARGS: &[$crate::decode::schema::Arg] = &[$($crate::decode::schema::Arg {
                name: $crate::decode::declare::in_c(stringify!($arg)),
                ty: $ty,
                register: $crate::decode::declare::optional!(None $(, Some($register))?),
                named: $crate::decode::declare::marked!($($mark)?),
            }),*];
            const RET: $crate::decode::schema::Return = $crate::decode::schema::Return {
                ty: $ret,
                also: &[$($(($index, $also)),*)?],
                note: $crate::decode::declare::optional!(None $(, Some($note))?),
            };
            const PICK: Option<$crate::decode::schema::PickCall> =
                $crate::decode::declare::optional!(None $(, Some($pick))?);
            $crate::decode::schema::Call {
                name: stringify!($name),
                args: ARGS,
                ret: RET,
                pick: PICK,
                in_memory: $crate::decode::declare::marked!($($memory)?),
                reads: $crate::decode::ends::Reads::of_call(ARGS, &RET, PICK.is_some()),
            }
        }),*];
    };
}
pub(crate) use calls;

/// A name in C, where it is no word that Rust keeps for itself: `r#type`.
pub(crate) const fn in_c(name: &'static str) -> &'static str {
    match name.as_bytes() {
        [b'r', b'#', ..] => name.split_at(2).1,
        _ => name,
    }
}

/// The second, or the first if there is no second.
macro_rules! optional {
    ($default:expr) => {
        $default
    };
    ($default:expr, $given:expr) => {
        $given
    };
}
pub(crate) use optional;

/// Whether there is a mark.
macro_rules! marked {
    () => {
        false
    };
    ($mark:ident) => {
        true
    };
}
pub(crate) use marked;

/// Whether this is the mark.
macro_rules! apart {
    (apart) => {
        true
    };
    ($($other:ident)?) => {
        false
    };
}
pub(crate) use apart;
