//! From a function to the one that called it, on x86_64.
//!
//! Not with a crate that does all of it: the rules of a frame may be DWARF
//! expressions with loops in them, and those that were looked at follow such a
//! loop for ever.

use std::cell::RefCell;
use std::rc::Rc;

use gimli::{
    CfaRule, Encoding, Evaluation, EvaluationResult, Location, Register, RegisterRule,
    UnwindContext, UnwindExpression, UnwindSection, Value,
};
use rustc_hash::FxHashMap;

use crate::frames::{Frames, Reader};
use crate::limits;

/// How many registers are followed: the general ones and the instruction
/// pointer.
pub const REGISTERS: usize = 17;

/// Registers in DWARF's order (System V ABI for x86_64, "DWARF Register Number
/// Mapping"): rax, rdx, rcx, rbx, rsi, rdi, rbp, rsp, r8 to r15, rip. `None`
/// where nobody knows the value in this frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Registers(pub [Option<u64>; REGISTERS]);

impl Registers {
    const RBP: usize = 6;
    const RSP: usize = 7;
    const RIP: usize = 16;

    /// Instruction pointer.
    pub fn ip(&self) -> Option<u64> {
        self.0[Self::RIP]
    }

    /// Stack pointer.
    pub fn sp(&self) -> Option<u64> {
        self.0[Self::RSP]
    }

    /// Frame pointer, in code that has one.
    pub fn fp(&self) -> Option<u64> {
        self.0[Self::RBP]
    }

    /// The caller's, when nothing more is known than these three.
    pub fn with(ip: u64, sp: u64, fp: Option<u64>) -> Self {
        let mut registers = [None; REGISTERS];
        registers[Self::RIP] = Some(ip);
        registers[Self::RSP] = Some(sp);
        registers[Self::RBP] = fp;
        Self(registers)
    }

    fn get(&self, register: Register) -> Option<u64> {
        self.0.get(usize::from(register.0)).copied().flatten()
    }
}

/// Reads eight bytes of the stack at a run-time address.
pub(crate) type Read<'a> = &'a mut dyn FnMut(u64) -> Option<u64>;

/// The rules of one address: how to find what its caller had in each register.
#[derive(Debug)]
struct Row {
    cfa: CfaRule<usize>,
    registers: Box<[(Register, RegisterRule<usize>)]>,
    encoding: Encoding,
    return_address: Register,
    signal: bool,
}

impl Row {
    fn read(frames: &Frames, vaddr: u64) -> Option<Self> {
        let function = frames.covering(vaddr)?;
        let fde = frames
            .section
            .fde_from_offset(
                &frames.bases,
                function.offset.into(),
                gimli::EhFrame::cie_from_offset,
            )
            .ok()?;
        let mut context = UnwindContext::new();
        let row = fde
            .unwind_info_for_address(&frames.section, &frames.bases, &mut context, vaddr)
            .ok()?;
        Some(Self {
            cfa: row.cfa().clone(),
            registers: row.registers().cloned().collect(),
            encoding: fde.cie().encoding(),
            return_address: fde.cie().return_address_register(),
            signal: fde.is_signal_trampoline(),
        })
    }
}

/// Rules that were read before. The same addresses return again and again, and
/// to read a row is to execute all instructions before it.
#[derive(Default, Debug)]
pub(crate) struct Rows(RefCell<FxHashMap<u64, Rc<Row>>>);

impl Rows {
    fn get(&self, frames: &Frames, vaddr: u64) -> Option<Rc<Row>> {
        let mut rows = self.0.borrow_mut();
        if let Some(row) = rows.get(&vaddr) {
            return Some(Rc::clone(row));
        }
        let row = Rc::new(Row::read(frames, vaddr)?);
        if rows.len() >= limits::ROWS {
            rows.clear();
        }
        rows.insert(vaddr, Rc::clone(&row));
        Some(row)
    }
}

/// The registers of the caller, and whether this was the frame of a signal:
/// then the caller was interrupted where its instruction pointer is, not behind
/// a call.
pub(crate) fn step(
    frames: &Frames,
    rows: &Rows,
    vaddr: u64,
    bias: u64,
    registers: &Registers,
    read: Read<'_>,
) -> Option<(Registers, bool)> {
    let row = rows.get(frames, vaddr)?;
    let mut machine = Machine {
        frames,
        encoding: row.encoding,
        bias,
        registers,
        read,
    };
    let cfa = match &row.cfa {
        CfaRule::RegisterAndOffset { register, offset } => {
            registers.get(*register)?.checked_add_signed(*offset)?
        }
        CfaRule::Expression(expression) => machine.evaluate(*expression, None)?,
    };
    // The callee keeps these for its caller (System V ABI, "Registers"); the
    // others are lost unless a rule says where they are.
    let mut caller = Registers([None; REGISTERS]);
    for kept in [3, Registers::RBP, 12, 13, 14, 15] {
        caller.0[kept] = registers.0[kept];
    }
    caller.0[Registers::RSP] = Some(cfa);
    for (register, rule) in &row.registers {
        if let Some(slot) = caller.0.get_mut(usize::from(register.0)) {
            *slot = machine.restore(*register, rule, cfa);
        }
    }
    if usize::from(row.return_address.0) != Registers::RIP {
        caller.0[Registers::RIP] = caller.get(row.return_address);
    }
    caller.ip()?;
    Some((caller, row.signal))
}

struct Machine<'a> {
    frames: &'a Frames,
    encoding: Encoding,
    bias: u64,
    registers: &'a Registers,
    read: Read<'a>,
}

impl Machine<'_> {
    fn restore(&mut self, register: Register, rule: &RegisterRule<usize>, cfa: u64) -> Option<u64> {
        match rule {
            RegisterRule::SameValue => self.registers.get(register),
            RegisterRule::Offset(offset) => (self.read)(cfa.checked_add_signed(*offset)?),
            RegisterRule::ValOffset(offset) => cfa.checked_add_signed(*offset),
            RegisterRule::Register(other) => self.registers.get(*other),
            RegisterRule::Expression(expression) => {
                let at = self.evaluate(*expression, Some(cfa))?;
                (self.read)(at)
            }
            RegisterRule::ValExpression(expression) => self.evaluate(*expression, Some(cfa)),
            RegisterRule::Constant(value) => Some(*value),
            // Undefined: of the return address, that there is no caller.
            _ => None,
        }
    }

    fn evaluate(&mut self, expression: UnwindExpression<usize>, cfa: Option<u64>) -> Option<u64> {
        let expression = expression.get(&self.frames.section).ok()?;
        let mut evaluation: Evaluation<Reader> = expression.evaluation(self.encoding);
        evaluation.set_max_iterations(limits::EXPRESSION);
        if let Some(cfa) = cfa {
            evaluation.set_initial_value(cfa);
        }
        let mut state = evaluation.evaluate().ok()?;
        // Each answer lets it go on for a limited number of steps.
        for _ in 0..limits::EXPRESSION {
            state = match state {
                EvaluationResult::Complete => {
                    let result = evaluation.result();
                    return match result.first()?.location {
                        Location::Address { address } => Some(address),
                        Location::Value { value } => value.to_u64(u64::MAX).ok(),
                        _ => None,
                    };
                }
                EvaluationResult::RequiresRegister { register, .. } => {
                    let value = Value::Generic(self.registers.get(register)?);
                    evaluation.resume_with_register(value).ok()?
                }
                EvaluationResult::RequiresMemory { address, size, .. } => {
                    let word = (self.read)(address)?;
                    let bits = u32::from(size).min(8) * 8;
                    let mask = u64::MAX.checked_shr(64 - bits).unwrap_or(0);
                    evaluation
                        .resume_with_memory(Value::Generic(word & mask))
                        .ok()?
                }
                EvaluationResult::RequiresRelocatedAddress(vaddr) => evaluation
                    .resume_with_relocated_address(vaddr.wrapping_add(self.bias))
                    .ok()?,
                EvaluationResult::RequiresCallFrameCfa => {
                    evaluation.resume_with_call_frame_cfa(cfa?).ok()?
                }
                _ => return None,
            };
        }
        None
    }
}
