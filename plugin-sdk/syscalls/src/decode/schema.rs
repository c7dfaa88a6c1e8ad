//! What calls, structures and sets of names are described with.
//!
//! A description is constant data: a [`Call`] has arguments, each of a [`Type`];
//! a type is a number with a [`Style`], something in memory, or a pointer to it.
//! Sizes and offsets follow from the ABI, as in C.

use alloc::vec::Vec;

use crate::abi::{self, Abi};

pub(crate) use super::declare::{calls, sets, structs};
use super::ends::{Purpose, Reads};
use super::layout::{Layout, Model, Place};
use super::value::Value;
use super::view::View;

/// Names of values or of bits.
#[derive(Debug)]
pub struct Set {
    /// Values and their names, in the order in which strace shows them. A name of
    /// several bits comes before those of its bits; one of no bits (`O_RDONLY`)
    /// shows when there are none.
    pub names: &'static [(u64, &'static str)],
    /// A set whose names are also in this one: in front of its own, but where both
    /// name a value, the own one counts.
    pub base: Option<&'static Set>,
    /// Bits that hold a value of another set, as the access mode in the flags of
    /// open(2); shown in front.
    pub first: &'static [(u64, &'static Set)],
    /// As `first`, but shown behind the flags: the signal in those of clone(2).
    pub last: &'static [(u64, &'static Set)],
    /// Shown in a comment behind what has no name: `O_???`.
    pub unknown: &'static str,
    /// How it shows where numbers are wanted (`strace -X raw`).
    pub numbers: Numbers,
}

/// How values of a set show as numbers, for people who do not want names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Numbers {
    /// In hexadecimal digits.
    #[default]
    Hex,
    /// In decimal ones, with a sign, where they have names.
    Decimal,
    /// As many numbers as the value has parts, or as many as it has words: `0x1|0x80000`.
    Parts,
}

impl Set {
    /// The name of exactly this value.
    #[must_use]
    pub fn name(&self, value: u64) -> Option<&'static str> {
        let own = self.names.iter().find(|(of, _)| *of == value);
        match own {
            Some((_, name)) => Some(name),
            None => self.base?.name(value),
        }
    }

    /// Values and their names, in the order in which they show.
    pub fn each(&self) -> impl Iterator<Item = (u64, &'static str)> {
        let base = self.base.map_or(&[][..], |base| base.names);
        base.iter().chain(self.names).copied()
    }

    /// The names of bits, in the order in which they show, and the bits that have none.
    #[must_use]
    pub fn split(&self, bits: u64) -> (Vec<&'static str>, u64) {
        let mut names = Vec::new();
        let mut rest = bits;
        let mut nameless = 0;
        for (mask, values) in self.first {
            match values.name(bits & mask) {
                Some(name) => names.push(name),
                None => nameless |= bits & mask,
            }
            rest &= !mask;
        }
        if bits == 0 && names.is_empty() {
            names.extend(self.name(0));
        }
        for (value, name) in self.each() {
            if value != 0 && rest & value == value {
                names.push(name);
                rest &= !value;
            }
        }
        for (mask, values) in self.last {
            if let Some(name) = values.name(bits & mask).filter(|_| bits & mask != 0) {
                names.push(name);
                rest &= !mask;
            }
        }
        (names, rest | nameless)
    }
}

/// How wide a number is in memory, and which part of a register counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// One byte.
    W8,
    /// Two bytes.
    W16,
    /// Four bytes: `int`.
    W32,
    /// Eight bytes; as an argument two registers where these have 32 bits.
    W64,
    /// `long` and pointers: eight bytes, or four.
    Long,
}

impl Width {
    /// In bytes.
    #[must_use]
    pub const fn bytes(self, abi: Abi) -> usize {
        match self {
            Self::W8 => 1,
            Self::W16 => 2,
            Self::W32 => 4,
            Self::W64 => 8,
            Self::Long if abi == abi::I386 => 4,
            Self::Long => 8,
        }
    }
}

/// What a number means.
#[derive(Clone, Copy, Debug)]
pub enum Style {
    /// `-1`
    Signed,
    /// `18446744073709551615`
    Unsigned,
    /// `0x1f`, and `0`
    Hex,
    /// `0644`
    Octal,
    /// A file descriptor.
    Fd,
    /// A file descriptor, or `AT_FDCWD`.
    Dirfd,
    /// A process, a task or a process group.
    Pid,
    /// A user or a group; -1 is nobody in particular.
    Uid,
    /// File type and permissions: `S_IFREG|0644`.
    Mode,
    /// `makedev(0x8, 0x1)`, in the encoding of the kernel's new_encode_dev.
    Device,
    /// A signal: `SIGINT`, and `0`.
    Signal,
    /// `0x7ffe12345678`, or `NULL`.
    Address,
    /// Port number in network byte order: `htons(80)`.
    Port,
    /// A network interface, by its index: `if_nametoindex("lo")`.
    Interface,
    /// A limit of resources: `8192*1024`, `RLIM64_INFINITY`.
    Limit,
    /// One of a set.
    One(&'static Set),
    /// Bits of a set.
    Flags(&'static Set),
    /// How a process ended or stopped: `[{WIFEXITED(s) && WEXITSTATUS(s) == 0}]`.
    WaitStatus,
}

/// When what a pointer leads to is of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dir {
    /// The kernel reads it.
    In,
    /// The kernel writes it, unless the call fails.
    Out,
    /// Both: shown as `[before => after]` where they differ.
    InOut,
    /// As `Out`, but also where the call fails: what is left of a sleep.
    Always,
    /// As `InOut`, but also where the call fails: a size that was too small.
    InOutAlways,
}

/// How much there is behind a pointer: bytes, or elements of an array.
#[derive(Clone, Copy, Debug)]
pub enum Len {
    /// So many.
    Fixed(u32),
    /// The value of an argument (its index among those described).
    Arg(u8),
    /// What the call returns.
    Ret,
    /// The value of the `int` that an argument points at: before the call, or the
    /// smaller one of before and after.
    At(u8),
    /// The value of a field of the structure that the pointer is in.
    Field(&'static str),
    /// As `Field`, but all of these together are at most what the call returns:
    /// the pieces that readv(2) fills.
    Shared(&'static str),
    /// Something else.
    With(fn(&View<'_>) -> u64),
    /// What a function makes of another one.
    Map(&'static Len, fn(u64) -> u64),
}

/// How bytes are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// `"text\n"`
    Text,
    /// As `Text`, but one NUL byte at the end is not shown: an extended attribute.
    Terminated,
    /// `"\x12\x34"`: all in hexadecimal digits.
    Hex,
    /// As `Text`, but a NUL byte in front is `@`: the name of a socket (unix(7)).
    SocketName,
    /// `[0x12, 00]`
    Each,
    /// `12:34:00`: the address of a network card.
    Colons,
}

/// The type of an argument, of a field, or of what a pointer leads to.
#[derive(Clone, Copy, Debug)]
pub enum Type {
    /// A number.
    Scalar(Width, Style),
    /// Nothing: an argument that this call does not have, such as the mode of an
    /// open(2) that makes no file.
    Absent,
    /// Bytes that mean nothing; not shown.
    Pad(u32),
    /// `char x[n]`: text that ends with a NUL byte or with the array.
    Chars(u32),
    /// `unsigned char x[n]`.
    Raw(u32, Look),
    /// `T x[n]`.
    Fixed(&'static Type, u32),
    /// `char x[]`: so many bytes that follow, of no size themselves.
    Tail(Len, Look),
    /// A structure.
    Struct(&'static Struct),
    /// One of several types. The function sees the arguments, and, for what is in
    /// memory, its bytes and the structure that it is a field of. The second number
    /// is the size if all have the same, as the members of a union have; 0 otherwise.
    Pick(fn(&View<'_>) -> &'static Type, u32),
    /// So many bytes (0: all that there are) that a function reads.
    Special(fn(&View<'_>) -> Value, u32),
    /// As `Special`, with file descriptors in what the function makes: these are looked up
    /// where that is wanted.
    Naming(fn(&View<'_>) -> Value, u32),
    /// So many bytes from here on, which may be more than were read, that hold one of a
    /// type: what only its beginning tells the length of.
    Again(Len, &'static Type),
    /// As the type says, then made into something else: what only shows from all of a
    /// value, or from what it was before the call and after it.
    Then(&'static Type, fn(Value, &View<'_>) -> Value),

    /// What a pointer to a type would lead to that is so many bytes above the stack
    /// pointer, when the call is made: no argument of the kernel's.
    Stack(u32, &'static Type),

    /// A pointer to one of a type.
    To(Dir, &'static Type),
    /// A pointer to so many bytes that hold one of a type, and maybe not all of it:
    /// a structure that has grown, or an address of a socket.
    Sized(Dir, Len, &'static Type),
    /// A pointer to so many of a type.
    Array(Dir, &'static Type, Len),
    /// A pointer to so many bytes.
    Bytes(Dir, Len, Look),
    /// A pointer to text that ends with a NUL byte.
    Text,
    /// As `Text`: the name of a file, shown whole.
    Path,
    /// A pointer to pointers to text, which end with a NULL pointer: `argv`.
    Strings,
    /// As `Strings`: `envp`, of which only the number is shown.
    Environ,
}

/// A field of a structure.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name in C.
    pub name: &'static str,
    /// What it is.
    pub ty: Type,
    /// Of a bit field how many bits; 0 for others. Consecutive ones share numbers of
    /// their type.
    pub bits: u8,
    /// Only shown with everything (`strace -v`).
    pub verbose: bool,
    /// And what is shown does not depend on it: [`Limits::brief`] leaves it out.
    ///
    /// [`Limits::brief`]: super::Limits::brief
    pub apart: bool,
    /// Where it is, in each [`Model`].
    pub(crate) places: [Place; Model::ALL.len()],
}

/// A structure, in the order in which it is in memory.
#[derive(Debug)]
pub struct Struct {
    /// Its name in C, without `struct`.
    pub name: &'static str,
    /// What it has.
    pub fields: &'static [Field],
    /// Its size and alignment, in each [`Model`].
    pub(crate) layouts: [Layout; Model::ALL.len()],
    /// What it is read for.
    pub(crate) purpose: Purpose,
    /// Puts its fields in the order in which they are shown, and says which are.
    pub arrange: Option<fn(&mut super::value::Fields, &View<'_>)>,
}

/// An argument of a call.
#[derive(Debug)]
pub struct Arg {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub ty: Type,
    /// The register that it is in, if not the one behind that of the argument before.
    pub register: Option<u8>,
    /// Shown with its name: `flags=CLONE_VM`.
    pub named: bool,
}

/// Makes a note of the values of [`Return::also`].
pub type Note = fn(&View<'_>, &[Value]) -> Option<Value>;

/// What a call returns.
#[derive(Debug)]
pub struct Return {
    /// Its type, a scalar.
    pub ty: Type,
    /// Arguments to be read once more when the call has returned, as another type,
    /// for `note`: index of the argument, and type.
    pub also: &'static [(u8, Type)],
    /// What is shown in parentheses behind the result.
    pub note: Option<Note>,
}

/// A system call.
#[derive(Debug)]
pub struct Call {
    /// Its kernel name.
    pub name: &'static str,
    /// What it takes.
    pub args: &'static [Arg],
    /// What it returns.
    pub ret: Return,
    /// Another description for certain arguments: calls that do different things by
    /// a command, such as fcntl(2).
    pub pick: Option<PickCall>,
    /// The arguments of what it picks are `long`s in memory, where its second argument
    /// leads to: socketcall(2).
    pub in_memory: bool,
    /// When something may have to be read.
    pub(crate) reads: Reads,
}

/// Finds the description that holds for certain arguments.
pub type PickCall = fn(&View<'_>) -> Option<&'static Call>;

/// Short names for descriptions.
pub mod prelude {
    pub use super::Dir::{Always, In, InOut, InOutAlways, Out};
    pub use super::Len;
    pub use super::Look;
    /// `Look::Text`
    pub const TEXT: Look = Look::Text;
    pub use super::Style;
    pub use super::Type::{
        self, Absent, Again, Array, Bytes, Chars, Environ, Fixed, Naming, Pad, Path, Pick, Raw,
        Scalar, Sized, Special, Stack, Strings, Struct, Tail, Text, Then, To,
    };
    pub use super::Width::{self, Long, W8, W16, W32, W64};
    pub use super::{Call, Set};
    pub(crate) use super::{calls, structs};
    pub use crate::decode::value::Value;
    pub use crate::decode::view::View;

    macro_rules! scalars {
        ($($(#[$doc:meta])* $name:ident = $width:ident $style:ident;)*) => {
            $($(#[$doc])* pub const $name: Type = Scalar($width, Style::$style);)*
        };
    }
    scalars! {
        /// `signed char`
        I8 = W8 Signed;
        /// `short`
        I16 = W16 Signed;
        /// `int`
        I32 = W32 Signed;
        /// `long long`
        I64 = W64 Signed;
        /// `long`
        LONG = Long Signed;
        /// `unsigned char`
        U8 = W8 Unsigned;
        /// `unsigned short`
        U16 = W16 Unsigned;
        /// `unsigned int`
        U32 = W32 Unsigned;
        /// `unsigned long long`
        U64 = W64 Unsigned;
        /// `unsigned long`
        ULONG = Long Unsigned;
        /// One byte in hexadecimal digits.
        X8 = W8 Hex;
        /// Two bytes in hexadecimal digits.
        X16 = W16 Hex;
        /// Four bytes in hexadecimal digits.
        X32 = W32 Hex;
        /// Eight bytes in hexadecimal digits.
        X64 = W64 Hex;
        /// A `long` in hexadecimal digits.
        XLONG = Long Hex;
        /// `size_t`
        SIZE = Long Unsigned;
        /// `ssize_t`
        SSIZE = Long Signed;
        /// `int`: a file descriptor.
        FD = W32 Fd;
        /// `int`: a file descriptor or `AT_FDCWD`.
        DIRFD = W32 Dirfd;
        /// `pid_t`
        PID = W32 Pid;
        /// `uid_t` and `gid_t`
        UID = W32 Uid;
        /// `umode_t` as an argument: `0644`.
        PERMISSIONS = W16 Octal;
        /// `mode_t` with the type of a file: `S_IFREG|0644`.
        MODE = W32 Mode;
        /// `dev_t` as an `int`.
        DEVICE32 = W32 Device;
        /// `dev_t` as a `long`.
        DEVICE = Long Device;
        /// A signal number.
        SIGNAL = W32 Signal;
        /// Any pointer: where it leads is not shown.
        ADDRESS = Long Address;
        /// `in_port_t`
        PORT = W16 Port;
        /// The index of a network interface.
        INTERFACE = W32 Interface;
        /// `int *`: how a process ended or stopped.
        WAIT_STATUS = W32 WaitStatus;
    }

    /// An `int` with bits of a set.
    #[must_use]
    pub const fn flags(set: &'static Set) -> Type {
        Scalar(W32, Style::Flags(set))
    }

    /// A `long` with bits of a set.
    #[must_use]
    pub const fn long_flags(set: &'static Set) -> Type {
        Scalar(Long, Style::Flags(set))
    }

    /// An `int` that is one of a set.
    #[must_use]
    pub const fn one(set: &'static Set) -> Type {
        Scalar(W32, Style::One(set))
    }

    /// A `long` that is one of a set.
    #[must_use]
    pub const fn long_one(set: &'static Set) -> Type {
        Scalar(Long, Style::One(set))
    }
}
