//! Which kind of instruction it is.

use iced_x86::{
    Code, ConstantOffsets, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind,
};

use crate::displaced::{MAX_INSTRUCTION, NotCode, Width};

/// An instruction with the bytes that it was made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decoded<'a> {
    pub(crate) instruction: Instruction,
    pub(crate) offsets: ConstantOffsets,
    pub(crate) bytes: &'a [u8],
    pub(crate) width: Width,
}

impl Decoded<'_> {
    pub(crate) fn len(&self) -> u8 {
        // At most MAX_INSTRUCTION.
        self.bytes.len() as u8
    }

    /// Address of what follows.
    pub(crate) fn next(&self) -> u64 {
        self.width.address(self.instruction.next_ip())
    }
}

/// Decodes the first instruction of `bytes`; `None` when it is none.
pub(crate) fn decode(bytes: &[u8], addr: u64, width: Width) -> Option<Decoded<'_>> {
    let bytes = bytes.get(..MAX_INSTRUCTION).unwrap_or(bytes);
    let mut decoder = Decoder::with_ip(width.bits(), bytes, addr, DecoderOptions::NONE);
    let instruction = decoder.decode();
    if instruction.is_invalid() {
        return None;
    }
    Some(Decoded {
        instruction,
        offsets: decoder.get_constant_offsets(&instruction),
        bytes: bytes.get(..instruction.len())?,
        width,
    })
}

/// Prefixes that change what a branch means.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Prefixes {
    /// 0x66 counts: it does not beside REX.W.
    pub(crate) operand_size: bool,
    /// 0x67.
    pub(crate) address_size: bool,
}

/// Reads the prefixes of a branch, which has no VEX or EVEX form. The decoder
/// drops a 0x66 that processors of Intel ignore in 64-bit mode and those of AMD
/// do not.
pub(crate) fn prefixes(bytes: &[u8], width: Width) -> Prefixes {
    let mut found = Prefixes::default();
    let mut rex_w = false;
    for byte in bytes {
        match byte {
            0x66 => found.operand_size = true,
            0x67 => found.address_size = true,
            0xf0 | 0xf2 | 0xf3 | 0x26 | 0x2e | 0x36 | 0x3e | 0x64 | 0x65 => {}
            0x40..=0x4f if width == Width::Bits64 => {
                rex_w = byte & 8 != 0;
                continue;
            }
            _ => break,
        }
        // REX counts only right before the opcode (Intel SDM vol. 2, 2.2.1).
        rex_w = false;
    }
    found.operand_size &= !rex_w;
    found
}

/// A near branch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Branch {
    Jump,
    Call,
    Return,
    Conditional,
    Loop,
    CounterZero,
}

/// How an instruction has to be treated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Class {
    /// Does the same elsewhere, once what it names relative to itself is
    /// adjusted.
    Plain,
    SystemCall {
        /// Whether the kernel returns to where the call was made.
        returns: bool,
        /// Whether that address is in rcx meanwhile.
        in_rcx: bool,
    },
    Branch(Branch),
    Trap,
    InPlace(&'static str),
}

pub(crate) fn classify(decoded: &Decoded<'_>) -> Class {
    let instruction = &decoded.instruction;
    let class = match instruction.mnemonic() {
        Mnemonic::Syscall => Class::SystemCall {
            returns: decoded.width == Width::Bits64,
            in_rcx: decoded.width == Width::Bits64,
        },
        Mnemonic::Sysenter => Class::SystemCall {
            returns: false,
            in_rcx: false,
        },
        Mnemonic::Int if instruction.immediate8() == 0x80 => Class::SystemCall {
            returns: true,
            in_rcx: false,
        },
        Mnemonic::Int3 => Class::Trap,
        Mnemonic::Int if instruction.immediate8() == 3 => Class::Trap,
        Mnemonic::Call if instruction.is_call_far() || instruction.is_call_far_indirect() => {
            Class::InPlace("a far call stores where it was made")
        }
        Mnemonic::Call => Class::Branch(Branch::Call),
        // Far jumps leave for an address that they name in full.
        Mnemonic::Jmp if instruction.is_jmp_far() || instruction.is_jmp_far_indirect() => {
            Class::Plain
        }
        Mnemonic::Jmp => Class::Branch(Branch::Jump),
        Mnemonic::Ret => Class::Branch(Branch::Return),
        Mnemonic::Loop | Mnemonic::Loope | Mnemonic::Loopne => Class::Branch(Branch::Loop),
        Mnemonic::Jcxz | Mnemonic::Jecxz | Mnemonic::Jrcxz => Class::Branch(Branch::CounterZero),
        _ if instruction.is_jcc_short_or_near() => Class::Branch(Branch::Conditional),
        // EENTER puts the address behind itself into rcx (Intel SDM vol. 3D,
        // "EENTER").
        Mnemonic::Enclu => Class::InPlace("an enclave is entered from a known address"),
        Mnemonic::Xbegin if instruction.code() == Code::Xbegin_rel16 => {
            Class::InPlace("the fallback address has 16 bits")
        }
        Mnemonic::Jmpe | Mnemonic::Jkzd | Mnemonic::Jknzd => {
            Class::InPlace("a branch that processors of today do not know")
        }
        // What is left refers to its own place by an operand or not at all.
        // Faults and traps report an address that is translated; `retf`,
        // `iret` and `uiret` take theirs from the stack, `sysret` and `sysexit`
        // are for the kernel.
        _ => Class::Plain,
    };
    match class {
        // On processors of AMD a near branch with this prefix keeps 16 bits of
        // the address, on those of Intel the prefix means nothing in 64-bit
        // mode (Intel SDM vol. 2, JMP; AMD APM vol. 3, JMP Near).
        Class::Branch(_) if prefixes(decoded.bytes, decoded.width).operand_size => {
            Class::InPlace("a near branch with an operand-size prefix")
        }
        class => class,
    }
}

/// Length of the instruction at `addr`.
///
/// # Errors
/// [`NotCode`].
pub fn instruction_len(bytes: &[u8], addr: u64, width: Width) -> Result<u8, NotCode> {
    decode(bytes, addr, width)
        .map(|decoded| decoded.len())
        .ok_or(NotCode { addr })
}

/// Whether decoding one instruction behind the other from `start` on meets
/// `addr`. `bytes` are those from `start` to `addr` at least.
pub fn boundary(bytes: &[u8], start: u64, addr: u64, width: Width) -> bool {
    let Some(Ok(wanted)) = addr.checked_sub(start).map(usize::try_from) else {
        return false;
    };
    if wanted > bytes.len() {
        return false;
    }
    let mut decoder = Decoder::with_ip(width.bits(), bytes, start, DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    while decoder.position() < wanted {
        decoder.decode_out(&mut instruction);
        if instruction.is_invalid() {
            return false;
        }
    }
    decoder.position() == wanted
}

/// What single-stepping an instruction has to look out for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StepKind {
    /// Nothing.
    Plain,
    /// Jumps or not, near or far; pushes nothing.
    Jump,
    /// Calls, near or far: what it calls returns to `next`.
    Call {
        /// Address behind it.
        next: u64,
    },
    /// Returns, near or far.
    Return,
    /// `iret`, `uiret`: may set the trap flag.
    Iret,
    /// Enters the kernel for a system call.
    Syscall,
    /// Traps by its nature: `int3`, `int1`, `int n`, `into`.
    Trap,
    /// Stores the flags: with the trap flag of a step in them.
    Pushf {
        /// How many bytes it pushes.
        size: u8,
    },
    /// Loads the flags: the trap flag may be among them.
    Popf,
    /// Loads ss: the step ends one instruction later (Intel SDM vol. 2,
    /// POP).
    LoadsSs,
    /// Repeats itself: each round is a step, which ends in front of it unless
    /// it was the last.
    Repeat,
}

/// What single-stepping the instruction at `addr` has to look out for.
///
/// # Errors
/// [`NotCode`].
pub fn step_kind(bytes: &[u8], addr: u64, width: Width) -> Result<StepKind, NotCode> {
    let decoded = decode(bytes, addr, width).ok_or(NotCode { addr })?;
    let instruction = &decoded.instruction;
    let kind = match instruction.mnemonic() {
        Mnemonic::Syscall | Mnemonic::Sysenter => StepKind::Syscall,
        Mnemonic::Int if instruction.immediate8() == 0x80 => StepKind::Syscall,
        Mnemonic::Iret | Mnemonic::Iretd | Mnemonic::Iretq | Mnemonic::Uiret => StepKind::Iret,
        Mnemonic::Pushf => StepKind::Pushf { size: 2 },
        Mnemonic::Pushfd => StepKind::Pushf { size: 4 },
        Mnemonic::Pushfq => StepKind::Pushf { size: 8 },
        Mnemonic::Popf | Mnemonic::Popfd | Mnemonic::Popfq => StepKind::Popf,
        Mnemonic::Mov | Mnemonic::Pop
            if instruction.op0_kind() == OpKind::Register
                && instruction.op0_register() == iced_x86::Register::SS =>
        {
            StepKind::LoadsSs
        }
        Mnemonic::Lss => StepKind::LoadsSs,
        _ if instruction.is_string_instruction()
            && (instruction.has_rep_prefix() || instruction.has_repne_prefix()) =>
        {
            StepKind::Repeat
        }
        _ => match instruction.flow_control() {
            FlowControl::Call | FlowControl::IndirectCall
                if instruction.mnemonic() == Mnemonic::Call =>
            {
                StepKind::Call {
                    next: decoded.next(),
                }
            }
            FlowControl::UnconditionalBranch
            | FlowControl::IndirectBranch
            | FlowControl::ConditionalBranch => StepKind::Jump,
            FlowControl::Return => StepKind::Return,
            FlowControl::Interrupt => StepKind::Trap,
            _ => StepKind::Plain,
        },
    };
    Ok(kind)
}
