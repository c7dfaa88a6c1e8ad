//! What must hold at a breakpoint for a hit to be one.

use pai_ptrace::{Pid, Register, Regs};

use crate::engine::Engine;
use crate::error::Error;

/// Conditions that one breakpoint may have.
pub const MAX_CONDITIONS: usize = 16;

/// A number of the task that has come to a breakpoint, and what it is compared with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Condition {
    /// Where the number is.
    pub place: Place,
    /// Bytes of it that are looked at, the low ones of a register: 1, 2, 4 or 8.
    pub len: u8,
    /// Bits of these that are looked at; the others count as 0.
    pub mask: u64,
    /// How.
    pub comparison: Comparison,
    /// With what; as many bytes of it.
    pub value: u64,
}

/// Where a number is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// In a register.
    Register(Register),
    /// In memory.
    Memory {
        /// What a register holds is added to the offset.
        base: Option<Register>,
        /// Bytes; the sum wraps around.
        offset: i64,
    },
}

/// How two numbers are compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Comparison {
    /// They are the same.
    Equal,
    /// They differ.
    NotEqual,
    /// The task's is less, both without a sign.
    Below,
    /// The opposite.
    NotBelow,
    /// The task's is less, both with a sign.
    Less,
    /// The opposite.
    NotLess,
}

/// # Errors
/// `Limit` for too many, `Invalid` for a length.
pub(crate) fn check(conditions: &[Condition]) -> Result<(), Error> {
    if conditions.len() > MAX_CONDITIONS {
        return Err(Error::Limit("conditions"));
    }
    match conditions.iter().find(|c| !matches!(c.len, 1 | 2 | 4 | 8)) {
        Some(Condition { len, .. }) => Err(Error::Invalid(format!(
            "a condition looks at {len} bytes; 1, 2, 4 and 8 can be compared"
        ))),
        None => Ok(()),
    }
}

impl Condition {
    /// Compares a number of the task's.
    fn accepts(&self, number: u64) -> bool {
        let unused = 64 - 8 * u32::from(self.len.clamp(1, 8));
        let own = (number & self.mask) << unused;
        let value = self.value << unused;
        let signed = (own.cast_signed(), value.cast_signed());
        match self.comparison {
            Comparison::Equal => own == value,
            Comparison::NotEqual => own != value,
            Comparison::Below => own < value,
            Comparison::NotBelow => own >= value,
            Comparison::Less => signed.0 < signed.1,
            Comparison::NotLess => signed.0 >= signed.1,
        }
    }
}

impl Engine {
    /// Whether a condition holds for a task of this process with these registers. None
    /// does on memory that cannot be read.
    pub(crate) fn holds(&mut self, pid: Pid, regs: &Regs, condition: &Condition) -> bool {
        let number = match condition.place {
            Place::Register(register) => regs.value(register),
            Place::Memory { base, offset } => {
                let base = base.map_or(0, |base| regs.value(base));
                let addr = base.wrapping_add_signed(offset);
                let mut number = [0; 8];
                let Some(bytes) = number.get_mut(..condition.len.into()) else {
                    return false;
                };
                match self.read_raw(pid, addr, bytes) {
                    Ok(done) if done == bytes.len() => self.hide_breakpoints(pid, addr, bytes),
                    result => {
                        tracing::debug!(target: "pai::engine", %pid, ?result, "a condition fails");
                        return false;
                    }
                }
                u64::from_le_bytes(number)
            }
        };
        condition.accepts(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(len: u8, mask: u64, comparison: Comparison, value: u64) -> Condition {
        Condition {
            place: Place::Memory {
                base: None,
                offset: 0,
            },
            len,
            mask,
            comparison,
            value,
        }
    }

    #[test]
    fn numbers_are_compared_as_wide_as_they_are() {
        use Comparison::*;
        let all = u64::MAX;
        let minus_one = all;
        for (len, mask, comparison, value, number, holds) in [
            (8, all, Equal, 5, 5, true),
            (8, all, Equal, 5, 6, false),
            (4, all, Equal, 5, 0xdead_0000_0005, true),
            (4, all, Equal, 0xffff_0000_0005, 5, true),
            (4, all, NotEqual, 5, 0xdead_0000_0005, false),
            (8, 0xf0, Equal, 0x50, 0x1257, true),
            (1, 1, NotEqual, 0, 0xff, true),
            (1, 1, NotEqual, 0, 0xfe, false),
            (4, all, Below, minus_one, 5, true),
            (4, all, Less, minus_one, 5, false),
            (4, all, Less, 0, 0xffff_ffff, true),
            (8, all, Less, 0, 0xffff_ffff, false),
            (4, all, NotLess, minus_one, 0xffff_ffff, true),
            (2, all, NotBelow, 0x8000, 0x7fff, false),
            (2, all, NotBelow, 0x8000, 0x8000, true),
            (8, all, Less, minus_one, 1 << 63, true),
        ] {
            let condition = condition(len, mask, comparison, value);
            assert_eq!(
                condition.accepts(number),
                holds,
                "{condition:x?} {number:#x}"
            );
        }
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let good = condition(4, 1, Comparison::Equal, 1);
        assert!(check(&[good; MAX_CONDITIONS]).is_ok());
        assert!(matches!(
            check(&[good; MAX_CONDITIONS + 1]),
            Err(Error::Limit("conditions"))
        ));
        for len in [0, 3, 9] {
            assert!(matches!(
                check(&[Condition { len, ..good }]),
                Err(Error::Invalid(_))
            ));
        }
    }
}
