//! What must hold at a breakpoint, so that the host wakes the plugin.

use crate::bindings::pai::plugin::breakpoints::{Comparison, Condition, Place};

/// Registers that hold a function's first arguments (System V ABI, AMD64, 3.2.3).
const ARGUMENTS: [&str; 6] = ["rdi", "rsi", "rdx", "rcx", "r8", "r9"];

/// A number of the task that comes to a breakpoint: 8 bytes, all bits of them.
#[derive(Clone, PartialEq, Debug)]
pub struct Number {
    place: Place,
    len: u8,
    mask: u64,
}

/// In a register, by its name.
pub fn register(name: &str) -> Number {
    Number::at(Place::Register(name.to_owned()))
}

/// At the entry of a function: its argument with this number, from 0 on. Those from 6
/// on are on the stack.
pub fn argument(number: usize) -> Number {
    match ARGUMENTS.get(number) {
        Some(name) => register(name),
        // Behind the return address.
        None => {
            let place = (number - ARGUMENTS.len() + 1) * 8;
            memory_at("rsp", i64::try_from(place).unwrap_or(i64::MAX))
        }
    }
}

/// In memory, at an address.
pub fn memory(addr: u64) -> Number {
    Number::at(Place::Memory((None, addr.cast_signed())))
}

/// In memory, so many bytes behind the address that a register holds.
pub fn memory_at(register: &str, offset: i64) -> Number {
    Number::at(Place::Memory((Some(register.to_owned()), offset)))
}

impl Number {
    fn at(place: Place) -> Self {
        Self {
            place,
            len: 8,
            mask: u64::MAX,
        }
    }

    /// So many bytes of it: 1, 2, 4 or 8; an `int` has 4.
    #[must_use]
    pub fn bytes(self, len: u8) -> Self {
        Self { len, ..self }
    }

    /// These bits of it; the others count as 0.
    #[must_use]
    pub fn masked(self, mask: u64) -> Self {
        Self { mask, ..self }
    }

    fn compare(self, comparison: Comparison, value: u64) -> Condition {
        Condition {
            place: self.place,
            len: self.len,
            mask: self.mask,
            comparison,
            value,
        }
    }

    /// It is the same.
    pub fn equals(self, value: u64) -> Condition {
        self.compare(Comparison::Equal, value)
    }

    /// It is another.
    pub fn differs(self, value: u64) -> Condition {
        self.compare(Comparison::NotEqual, value)
    }

    /// It is less, both without a sign.
    pub fn is_below(self, value: u64) -> Condition {
        self.compare(Comparison::Below, value)
    }

    /// It is not less, both without a sign.
    pub fn is_at_least(self, value: u64) -> Condition {
        self.compare(Comparison::NotBelow, value)
    }

    /// It is less, both with a sign.
    pub fn is_less(self, value: i64) -> Condition {
        self.compare(Comparison::Less, value.cast_unsigned())
    }

    /// It is not less, both with a sign.
    pub fn is_not_less(self, value: i64) -> Condition {
        self.compare(Comparison::NotLess, value.cast_unsigned())
    }
}
