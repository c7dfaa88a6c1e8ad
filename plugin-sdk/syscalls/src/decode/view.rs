//! What functions in descriptions see of a call.

use crate::abi::Abi;

use super::captured::When;
use super::layout;
use super::limits::Limits;
use super::schema::{Struct, Width};

/// A call as far as it is known, and where in it a description is being read.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Of the call.
    pub abi: Abi,
    /// Argument registers, as the call was made.
    pub args: [u64; 6],
    /// What the call returned, negative for an errno; `None` at its entry.
    pub ret: Option<i64>,
    /// The bytes of what is being read, as far as they are known.
    pub bytes: &'a [u8],
    /// How many bytes there should be of what a pointer leads to: there are fewer where
    /// memory ends. 0 for other things.
    pub size: usize,
    /// The structure that this is a field of, and its bytes.
    pub outer: Option<(&'static Struct, &'a [u8])>,
    /// Where in memory `bytes` are, 0 for a register.
    pub addr: u64,
    /// The value, if it is a register.
    pub raw: u64,
    /// When `bytes` were read.
    pub when: When,
    /// How much is shown of what is long.
    pub limits: Limits,
}

impl<'a> View<'a> {
    /// Of a call at its entry, or at its exit if `ret` is given.
    #[must_use]
    pub fn new(abi: Abi, args: [u64; 6], ret: Option<i64>) -> Self {
        Self {
            abi,
            args,
            ret,
            bytes: &[],
            size: 0,
            outer: None,
            addr: 0,
            raw: 0,
            when: When::Enter,
            limits: Limits::default(),
        }
    }

    /// An argument register; 0 for one that does not exist.
    #[must_use]
    pub fn arg(&self, index: usize) -> u64 {
        self.args.get(index).copied().unwrap_or(0)
    }

    /// The lower half of an argument register, which is all of an `int`.
    #[must_use]
    pub fn arg32(&self, index: usize) -> u32 {
        (self.arg(index) & 0xffff_ffff) as u32
    }

    /// Whether memory ends before what a pointer leads to does.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.bytes.len() < self.size
    }

    /// Whether the call has returned and not failed.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.ret.is_some_and(|ret| !super::is_error(ret))
    }

    /// A number in the bytes of what is being read.
    #[must_use]
    pub fn number(&self, offset: usize, width: Width) -> Option<u64> {
        layout::number(self.bytes, offset, width.bytes(self.abi))
    }

    /// A scalar field of the structure that this is a field of.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<u64> {
        let (structure, bytes) = self.outer?;
        layout::field(structure, name, bytes, self.abi)
    }
}
