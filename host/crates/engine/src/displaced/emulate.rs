//! Near branches, done by the tracer.

use iced_x86::{ConditionCode, Instruction, Mnemonic, OpKind, Register};
use pai_ptrace::Regs;

use crate::displaced::Width;
use crate::displaced::decode::{Branch, Decoded, prefixes};

// Bits of the flags register (Intel SDM vol. 1, 3.4.3).
const CARRY: u64 = 1 << 0;
const PARITY: u64 = 1 << 2;
const ZERO: u64 = 1 << 6;
const SIGN: u64 = 1 << 7;
const OVERFLOW: u64 = 1 << 11;
const ALIGNMENT_CHECK: u64 = 1 << 18;

/// The data segment that Linux gives 32-bit code: 4 GiB from zero on
/// (arch/x86/include/asm/segment.h), also in guests of Xen.
const USER_DS: u64 = 0x2b;
/// Of a selector: the rest is its privilege, and which table it is in.
const SELECTOR_INDEX: u64 = !7;
const SELECTOR_LOCAL: u64 = 4;

/// Memory of the task, as the task itself could access it: its page protections
/// hold. process_vm_readv(2) and process_vm_writev(2) are like that, and
/// /proc/PID/mem is not.
pub trait Memory {
    /// Fills `bytes`; false when any of them cannot be read.
    fn read(&mut self, addr: u64, bytes: &mut [u8]) -> bool;
    /// Writes `bytes`; false when any of them cannot be written, and none
    /// should be then.
    fn write(&mut self, addr: u64, bytes: &[u8]) -> bool;
}

/// The branch was not done, and nothing has changed. Most probably it faults:
/// the way to have exactly that happen is to step it in place.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{why} ({addr:#x})")]
pub struct Fault {
    /// The address that is at fault.
    pub addr: u64,
    /// What is wrong with it.
    pub why: &'static str,
}

/// A near branch, taken apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Emulation {
    flow: Flow,
    next: u64,
    len: u8,
    width: Width,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Flow {
    Jump(Destination),
    Call(Destination),
    Return {
        /// Bytes to take off the stack besides.
        release: u16,
    },
    Conditional {
        when: ConditionCode,
        target: u64,
    },
    /// Counts down, jumps unless zero, and only if `when` holds.
    Loop {
        counter: Counter,
        when: ConditionCode,
        target: u64,
    },
    CounterZero {
        counter: Counter,
        target: u64,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Destination {
    Address(u64),
    Register(u8),
    Memory(Operand),
}

/// Width of the counter in rcx.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Counter {
    Cx,
    Ecx,
    Rcx,
}

impl Counter {
    fn mask(self) -> u64 {
        match self {
            Counter::Cx => 0xffff,
            Counter::Ecx => 0xffff_ffff,
            Counter::Rcx => u64::MAX,
        }
    }
}

/// Where a memory operand is. General registers by number, as instructions
/// number them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Operand {
    segment: Segment,
    base: Option<u8>,
    index: Option<u8>,
    scale: u8,
    displacement: u64,
    /// What is left of the sum.
    mask: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Segment {
    /// One of these, by the name of its register; their bases are zero.
    Flat(&'static str),
    /// "fs" or "gs".
    Based(&'static str),
}

impl Emulation {
    pub(crate) fn new(decoded: &Decoded<'_>, branch: Branch) -> Result<Self, &'static str> {
        let instruction = &decoded.instruction;
        let target = decoded.width.address(instruction.near_branch_target());
        let counter = || counter(decoded);
        let flow = match branch {
            Branch::Jump => Flow::Jump(destination(decoded)?),
            Branch::Call => Flow::Call(destination(decoded)?),
            Branch::Return => Flow::Return {
                release: match instruction.op_count() {
                    0 => 0,
                    _ => instruction.immediate16(),
                },
            },
            Branch::Conditional => Flow::Conditional {
                when: instruction.condition_code(),
                target,
            },
            Branch::Loop => Flow::Loop {
                counter: counter(),
                when: match instruction.mnemonic() {
                    Mnemonic::Loope => ConditionCode::e,
                    Mnemonic::Loopne => ConditionCode::ne,
                    _ => ConditionCode::None,
                },
                target,
            },
            Branch::CounterZero => Flow::CounterZero {
                counter: counter(),
                target,
            },
        };
        Ok(Self {
            flow,
            next: decoded.next(),
            len: decoded.len(),
            width: decoded.width,
        })
    }

    /// Length of the instruction.
    pub(crate) fn instruction_len(&self) -> u8 {
        self.len
    }
}

fn counter(decoded: &Decoded<'_>) -> Counter {
    match (
        decoded.width,
        prefixes(decoded.bytes, decoded.width).address_size,
    ) {
        (Width::Bits64, false) => Counter::Rcx,
        (Width::Bits64, true) | (Width::Bits32, false) => Counter::Ecx,
        (Width::Bits32, true) => Counter::Cx,
    }
}

fn destination(decoded: &Decoded<'_>) -> Result<Destination, &'static str> {
    let instruction = &decoded.instruction;
    match instruction.op0_kind() {
        OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64 => Ok(
            Destination::Address(decoded.width.address(instruction.near_branch_target())),
        ),
        OpKind::Register => general(instruction.op0_register())
            .map(Destination::Register)
            .ok_or("a branch by an unknown register"),
        OpKind::Memory => operand(instruction, decoded.width)
            .map(Destination::Memory)
            .ok_or("a branch by an unknown form of address"),
        _ => Err("a branch of an unknown form"),
    }
}

/// The number of a general register.
fn general(register: Register) -> Option<u8> {
    let general = register.is_gpr16() || register.is_gpr32() || register.is_gpr64();
    general
        .then(|| u8::try_from(register.number()).ok())
        .flatten()
}

fn operand(instruction: &Instruction, width: Width) -> Option<Operand> {
    let segment = match instruction.memory_segment() {
        Register::FS => Segment::Based("fs"),
        Register::GS => Segment::Based("gs"),
        Register::CS => Segment::Flat("cs"),
        Register::DS => Segment::Flat("ds"),
        Register::ES => Segment::Flat("es"),
        Register::SS => Segment::Flat("ss"),
        _ => return None,
    };
    let (base, index) = (instruction.memory_base(), instruction.memory_index());
    // Relative to the instruction, the decoder gives the sum as displacement.
    let relative = instruction.is_ip_rel_memory_operand();
    let bytes = match (base, index) {
        (Register::None, Register::None) => instruction.memory_displ_size() as usize,
        (Register::None, index) => index.size(),
        (base, _) => base.size(),
    };
    let mask = match bytes {
        2 => 0xffff,
        4 => 0xffff_ffff,
        8 if width == Width::Bits64 => u64::MAX,
        _ => return None,
    };
    let number = |register| match register {
        Register::None => Some(None),
        register => general(register).map(Some),
    };
    Some(Operand {
        segment,
        base: if relative { None } else { number(base)? },
        index: number(index)?,
        scale: u8::try_from(instruction.memory_index_scale()).ok()?,
        displacement: instruction.memory_displacement64(),
        mask,
    })
}

/// Does the branch. Flags do not change, and memory only where a call stores
/// its return address.
///
/// The shadow stack that CET adds is not written: the kernel that this was made
/// for has none for user space (CONFIG_X86_USER_SHADOW_STACK,
/// Documentation/arch/x86/shstk.rst). Where a task has one, calls and returns
/// have to be stepped in place. Linux has no indirect branch tracking for user
/// space, and no MPX since 5.6, so that the prefixes `notrack` and `bnd` mean
/// nothing.
///
/// # Errors
/// [`Fault`]: nothing has changed.
pub fn emulate(
    emulation: &Emulation,
    regs: &mut Regs,
    memory: &mut dyn Memory,
) -> Result<(), Fault> {
    let width = emulation.width;
    let mut task = Access {
        regs: *regs,
        memory,
        width,
    };
    if Width::of(regs) != Some(width) {
        return Err(Fault {
            addr: regs.ip(),
            why: "code of another width",
        });
    }
    let next = emulation.next;
    let ip = match emulation.flow {
        Flow::Jump(destination) => task.target(destination)?,
        Flow::Call(destination) => {
            // In this order: the destination may depend on the stack pointer,
            // and nothing is stored if it cannot be had.
            let target = task.target(destination)?;
            canonical(target)?;
            task.push(next)?;
            target
        }
        Flow::Return { release } => task.pop(release)?,
        Flow::Conditional { when, target } => {
            if holds(when, task.regs.flags()) {
                target
            } else {
                next
            }
        }
        Flow::Loop {
            counter,
            when,
            target,
        } => {
            let count = task.count_down(counter);
            if count != 0 && holds(when, task.regs.flags()) {
                target
            } else {
                next
            }
        }
        Flow::CounterZero { counter, target } => {
            if task.regs.general(RCX) & counter.mask() == 0 {
                target
            } else {
                next
            }
        }
    };
    canonical(ip)?;
    task.regs.set_ip(ip);
    *regs = task.regs;
    Ok(())
}

const RCX: u8 = 1;

/// What a branch gets at. The registers are a copy until all has gone well.
struct Access<'a> {
    regs: Regs,
    memory: &'a mut dyn Memory,
    width: Width,
}

impl Access<'_> {
    fn target(&mut self, destination: Destination) -> Result<u64, Fault> {
        match destination {
            Destination::Address(address) => Ok(address),
            Destination::Register(number) => Ok(self.width.address(self.regs.general(number))),
            Destination::Memory(operand) => {
                let address = self.address(&operand)?;
                self.load(address)
            }
        }
    }

    fn address(&self, operand: &Operand) -> Result<u64, Fault> {
        let value = |number: Option<u8>| number.map_or(0, |number| self.regs.general(number));
        let offset = operand
            .displacement
            .wrapping_add(value(operand.base))
            .wrapping_add(value(operand.index).wrapping_mul(u64::from(operand.scale)))
            & operand.mask;
        let base = match operand.segment {
            Segment::Based(name) => {
                if self.width == Width::Bits32 {
                    self.global(name)?;
                }
                match name {
                    "fs" => self.regs.fs_base(),
                    _ => self.regs.gs_base(),
                }
            }
            Segment::Flat(name) => {
                if self.width == Width::Bits32 {
                    self.flat(name)?;
                }
                0
            }
        };
        Ok(self.width.address(base.wrapping_add(offset)))
    }

    /// Makes sure that a segment begins at zero, as those of Linux do. A
    /// program can have others, by modify_ldt(2).
    fn flat(&self, name: &str) -> Result<(), Fault> {
        let selector = self.regs.get(name).unwrap_or(0);
        // The code segment can be read through, too, and was looked at.
        if selector == USER_DS || name == "cs" {
            Ok(())
        } else {
            Err(Fault {
                addr: selector,
                why: "a segment of the program's own",
            })
        }
    }

    /// Makes sure that a segment is one for thread-local data, whose base is
    /// known (set_thread_area(2)). Its limit is not looked at.
    fn global(&self, name: &str) -> Result<(), Fault> {
        let selector = self.regs.get(name).unwrap_or(0);
        if selector & SELECTOR_INDEX != 0 && selector & SELECTOR_LOCAL == 0 {
            Ok(())
        } else {
            Err(Fault {
                addr: selector,
                why: "no segment, or one of the program's own",
            })
        }
    }

    /// With the flag AC, the processor insists on alignment (Intel SDM vol. 3,
    /// "Interrupt 17").
    fn aligned(&self, address: u64) -> Result<(), Fault> {
        let size = u64::from(self.width.bytes());
        if self.regs.flags() & ALIGNMENT_CHECK != 0 && !address.is_multiple_of(size) {
            return Err(Fault {
                addr: address,
                why: "an unaligned address",
            });
        }
        Ok(())
    }

    fn load(&mut self, address: u64) -> Result<u64, Fault> {
        self.aligned(address)?;
        let mut bytes = [0; 8];
        let wanted = &mut bytes[..usize::from(self.width.bytes())];
        if self.memory.read(address, wanted) {
            Ok(u64::from_le_bytes(bytes))
        } else {
            Err(Fault {
                addr: address,
                why: "memory that cannot be read",
            })
        }
    }

    /// The stack pointer, of a stack that is as wide as the code.
    fn sp(&self) -> Result<u64, Fault> {
        if self.width == Width::Bits32 {
            self.flat("ss")?;
        }
        Ok(self.width.address(self.regs.sp()))
    }

    fn push(&mut self, value: u64) -> Result<(), Fault> {
        let size = self.width.bytes();
        let address = self.width.address(self.sp()?.wrapping_sub(size.into()));
        self.aligned(address)?;
        let bytes = value.to_le_bytes();
        if !self.memory.write(address, &bytes[..usize::from(size)]) {
            return Err(Fault {
                addr: address,
                why: "memory that cannot be written",
            });
        }
        self.regs.set_sp(address);
        Ok(())
    }

    fn pop(&mut self, release: u16) -> Result<u64, Fault> {
        let sp = self.sp()?;
        let value = self.load(sp)?;
        let freed = u64::from(self.width.bytes()) + u64::from(release);
        self.regs.set_sp(self.width.address(sp.wrapping_add(freed)));
        Ok(value)
    }

    /// Takes one off the counter. Like every write to it, one to ecx clears the
    /// upper half in 64-bit mode (Intel SDM vol. 1, 3.4.1.1).
    fn count_down(&mut self, counter: Counter) -> u64 {
        let rcx = self.regs.general(RCX);
        let count = rcx.wrapping_sub(1) & counter.mask();
        let kept = match counter {
            Counter::Cx => rcx & !counter.mask(),
            Counter::Ecx | Counter::Rcx => 0,
        };
        self.regs.set_general(RCX, kept | count);
        count
    }
}

/// A branch to an address that has not 48 bits faults. Where addresses have 57,
/// it may not: in place, both happen as they should.
fn canonical(target: u64) -> Result<(), Fault> {
    let extended = (target.cast_signed() << 16 >> 16).cast_unsigned();
    if extended == target {
        Ok(())
    } else {
        Err(Fault {
            addr: target,
            why: "an address that has not 48 bits",
        })
    }
}

/// Whether a condition holds (Intel SDM vol. 1, appendix B).
fn holds(condition: ConditionCode, flags: u64) -> bool {
    let set = |mask| flags & mask != 0;
    let less = set(SIGN) != set(OVERFLOW);
    match condition {
        ConditionCode::None => true,
        ConditionCode::o => set(OVERFLOW),
        ConditionCode::no => !set(OVERFLOW),
        ConditionCode::b => set(CARRY),
        ConditionCode::ae => !set(CARRY),
        ConditionCode::e => set(ZERO),
        ConditionCode::ne => !set(ZERO),
        ConditionCode::be => set(CARRY | ZERO),
        ConditionCode::a => !set(CARRY | ZERO),
        ConditionCode::s => set(SIGN),
        ConditionCode::ns => !set(SIGN),
        ConditionCode::p => set(PARITY),
        ConditionCode::np => !set(PARITY),
        ConditionCode::l => less,
        ConditionCode::ge => !less,
        ConditionCode::le => less || set(ZERO),
        ConditionCode::g => !less && !set(ZERO),
    }
}
