//! What a description makes of numbers and bytes.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::captured::When;
use super::schema::{Look, Set};

/// A decoded argument, field or result.
#[derive(Clone, Debug)]
pub enum Value {
    /// A number with a sign.
    Signed(i64),
    /// A number without.
    Unsigned(u64),
    /// A number that is shown in hexadecimal digits.
    Hex(u64),
    /// A number that is shown in octal digits.
    Octal(u64),
    /// Somewhere in memory; what is there is of no interest, or could not be read.
    Address(u64),
    /// A file descriptor, or `AT_FDCWD`.
    Fd(i32),
    /// A process, a task or a process group.
    Pid(i32),
    /// A user or a group.
    Uid(u32),
    /// Type and permissions of a file.
    Mode(u32),
    /// A device number.
    Device(u64),
    /// A signal.
    Signal(u32),
    /// Signals, as bits: number 1 is bit 0.
    Signals(u64),
    /// How a process ended or stopped, as wait(2) returns it.
    WaitStatus(u32),
    /// A network interface, by its index.
    Interface(u32),
    /// A limit of resources; `u64::MAX` is none.
    Limit(u64),
    /// One of a set.
    One(u64, &'static Set),
    /// Bits of a set.
    Flags(u64, &'static Set),
    /// A number with a name that is in no set: a request of ioctl(2).
    Named(u64, Cow<'static, str>),
    /// A number of several parts, each with a meaning of its own: `IPC_CREAT|0600`.
    Parts(u64, Vec<Value>),
    /// Bytes.
    Bytes(Bytes),
    /// A structure.
    Struct(Fields),
    /// Several.
    Array(Items),
    /// Numbers of processors and the like: `[0 1 7]`.
    Numbers(Vec<u32>),
    /// Several, each with the name of its place: `[[VINTR]=0x3, [VQUIT]=0x1c]`.
    Table(Fields),
    /// What a pointer leads to.
    To {
        /// Where that is.
        addr: u64,
        /// What it is.
        value: Box<Value>,
    },
    /// What a pointer led to, or a field held, before the call and after it.
    Changed {
        /// Where that is; 0 for a field of a structure.
        addr: u64,
        /// Before.
        before: Box<Value>,
        /// After.
        after: Box<Value>,
    },
    /// Several that are only shown with everything: otherwise where they are, and how
    /// many of what.
    Counted {
        /// Where they are.
        addr: u64,
        /// Them, if that is known.
        items: Items,
        /// How many there are.
        count: usize,
        /// What, as in `5 vars`.
        what: &'static str,
    },
    /// Several that belong together, without braces: `in [3], left {tv_sec=1, tv_nsec=0}`.
    List(Fields),
    /// A set of file descriptors: `[3 5]`.
    Descriptors(Vec<i32>),
    /// Written as a call: `htons(80)`, `makedev(0x8, 0x1)`.
    Call(&'static str, Vec<Value>),
    /// With a word in front that says what it is: `flags O_RDWR|O_LARGEFILE`.
    Titled(&'static str, Box<Value>),
    /// Text as it is.
    Plain(Cow<'static, str>),
    /// Something with a comment behind it.
    Comment(Box<Value>, String),
    /// Something that another notation tells more of, for people: the whole of termios
    /// as `{B38400 opost isig icanon echo ...}`.
    Told(Box<Value>, String),
}

/// Bytes behind a pointer or in a structure.
#[derive(Clone, Debug)]
pub struct Bytes {
    /// Them, as far as they are known.
    pub data: Vec<u8>,
    /// There are more.
    pub more: bool,
    /// Shown whole, as names of files are.
    pub whole: bool,
    /// How they are shown.
    pub look: Look,
}

/// Elements of an array.
#[derive(Clone, Debug, Default)]
pub struct Items {
    /// Them, as far as they are known.
    pub items: Vec<Value>,
    /// There are more, of which the next would be here.
    pub more: Option<u64>,
    /// That one could not be read.
    pub missing: bool,
}

/// Fields of a structure.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    /// Them, in the order in which they are shown.
    pub fields: Vec<Field>,
    /// The structure goes on with what is not known here.
    pub more: bool,
}

/// A field of a structure.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name in C; empty where only the value is shown.
    pub name: &'static str,
    /// What it holds.
    pub value: Value,
    /// Only shown with everything.
    pub verbose: bool,
}

impl Field {
    /// One that always shows.
    #[must_use]
    pub fn new(name: &'static str, value: Value) -> Self {
        Self {
            name,
            value,
            verbose: false,
        }
    }
}

impl Fields {
    /// The value of a field.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        let found = self.fields.iter().find(|field| field.name == name);
        found.map(|field| &field.value)
    }

    /// The value of a field, to change a part of it.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        let found = self.fields.iter_mut().find(|field| field.name == name);
        found.map(|field| &mut field.value)
    }

    /// Puts fields in this order; those that it does not name go.
    pub fn order(&mut self, names: &[&str]) {
        let mut fields = core::mem::take(&mut self.fields);
        for name in names {
            if fields.is_empty() {
                break;
            }
            if let Some(at) = fields.iter().position(|field| field.name == *name) {
                self.fields.push(fields.swap_remove(at));
            }
        }
    }

    /// Takes a field away.
    pub fn remove(&mut self, name: &str) {
        self.fields.retain(|field| field.name != name);
    }

    /// Changes the value of a field.
    pub fn change(&mut self, name: &str, with: impl FnOnce(Value) -> Value) {
        if let Some(field) = self.fields.iter_mut().find(|field| field.name == name) {
            let value = core::mem::replace(&mut field.value, Value::Unsigned(0));
            field.value = with(value);
        }
    }
}

impl Value {
    /// A structure of these fields.
    #[must_use]
    pub fn structure(fields: impl Into<Vec<Field>>) -> Self {
        Self::Struct(Fields {
            fields: fields.into(),
            more: false,
        })
    }

    /// Looks at it and at all that is in it, each with the end of the call that it is of:
    /// `when`, but for what the call has changed.
    pub fn visit(&self, when: When, look: &mut dyn FnMut(&Self, When)) {
        look(self, when);
        match self {
            Self::Struct(fields) | Self::Table(fields) | Self::List(fields) => {
                let values = fields.fields.iter().map(|field| &field.value);
                values.for_each(|value| value.visit(when, look));
            }
            Self::Array(items) | Self::Counted { items, .. } => {
                items.items.iter().for_each(|item| item.visit(when, look));
            }
            Self::Call(_, args) => args.iter().for_each(|arg| arg.visit(when, look)),
            Self::To { value, .. }
            | Self::Told(value, _)
            | Self::Comment(value, _)
            | Self::Titled(_, value) => value.visit(when, look),
            Self::Changed { before, after, .. } => {
                before.visit(When::Enter, look);
                after.visit(When::Exit, look);
            }
            _ => {}
        }
    }

    /// The file descriptors that it is, not those of what is in it.
    #[must_use]
    pub fn descriptors(&self) -> &[i32] {
        match self {
            Self::Fd(fd) => core::slice::from_ref(fd),
            Self::Descriptors(fds) => fds,
            _ => &[],
        }
    }

    /// The number that it stands for, if it is one.
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        Some(match self {
            Self::Signed(value) => value.cast_unsigned(),
            Self::Unsigned(value)
            | Self::Hex(value)
            | Self::Octal(value)
            | Self::Address(value)
            | Self::Device(value)
            | Self::Signals(value)
            | Self::Limit(value)
            | Self::One(value, _)
            | Self::Flags(value, _)
            | Self::Parts(value, _)
            | Self::Named(value, _) => *value,
            Self::Fd(value) | Self::Pid(value) => i64::from(*value).cast_unsigned(),
            Self::Uid(value)
            | Self::Interface(value)
            | Self::Mode(value)
            | Self::Signal(value)
            | Self::WaitStatus(value) => (*value).into(),
            Self::Comment(value, _) | Self::Told(value, _) => return value.number(),
            _ => return None,
        })
    }

    /// The bytes that it or what it points at holds.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(&bytes.data),
            Self::To { value, .. } => value.bytes(),
            _ => None,
        }
    }

    /// The fields of the structure that it is or points at.
    #[must_use]
    pub fn fields(&self) -> Option<&Fields> {
        match self {
            Self::Struct(fields) | Self::Table(fields) => Some(fields),
            Self::To { value, .. } | Self::Comment(value, _) | Self::Told(value, _) => {
                value.fields()
            }
            Self::Changed { after, .. } => after.fields(),
            _ => None,
        }
    }

    /// The elements of the array that it is or points at.
    #[must_use]
    pub fn items(&self) -> Option<&[Self]> {
        match self {
            Self::Array(items) | Self::Counted { items, .. } => Some(&items.items),
            Self::To { value, .. } => value.items(),
            _ => None,
        }
    }
}

/// The type in the mode of a file: `S_IFREG` (inode(7)).
#[must_use]
pub fn file_type(mode: u32) -> Option<&'static str> {
    Some(match mode & 0o170_000 {
        0o100_000 => "S_IFREG",
        0o040_000 => "S_IFDIR",
        0o020_000 => "S_IFCHR",
        0o060_000 => "S_IFBLK",
        0o010_000 => "S_IFIFO",
        0o120_000 => "S_IFLNK",
        0o140_000 => "S_IFSOCK",
        _ => return None,
    })
}

/// Major and minor of a device number: gnu_dev_major and gnu_dev_minor of makedev(3).
#[must_use]
pub fn major_minor(device: u64) -> (u64, u64) {
    (
        (device >> 8 & 0xfff) | (device >> 32 & 0xffff_f000),
        (device & 0xff) | (device >> 12 & 0xffff_ff00),
    )
}
