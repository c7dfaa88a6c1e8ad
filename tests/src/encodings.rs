//! One encoding of every instruction that there is, found by trying bytes.

use std::collections::HashSet;

use iced_x86::{Code, Decoder, DecoderOptions, Instruction, OpKind, Register};

/// How an encoding gets at memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Form {
    /// Not at all, or by registers that it does not name.
    Registers,
    /// At an address relative to itself.
    Relative,
    /// At an address that it holds.
    Absolute,
    /// By registers.
    Memory,
}

/// An instruction, not placed yet.
#[derive(Clone, Debug)]
pub struct Encoding {
    /// Which, as the decoder numbers them.
    pub code: Code,
    /// How it gets at memory.
    pub form: Form,
    bytes: Vec<u8>,
    /// Where its address or distance is, and how long.
    field: (usize, usize),
}

impl Encoding {
    /// The bytes for an instruction at `addr` that gets at `data`.
    pub fn at(&self, addr: u64, data: u64) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        let value = match self.form {
            Form::Relative => data.wrapping_sub(addr + bytes.len() as u64),
            Form::Absolute => data,
            Form::Registers | Form::Memory => return bytes,
        };
        let (at, len) = self.field;
        bytes[at..at + len].copy_from_slice(&value.to_le_bytes()[..len]);
        bytes
    }
}

/// Operands: a distance or what else follows ModRM, then immediates, which are
/// small so that they serve as shift counts and sizes.
const TAIL: [u8; 12] = [8, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0];
/// SIB: no index but xmm2, ymm2, zmm2; base rsi.
const SIB: u8 = 0x16;

/// All of them, each once in each form.
pub fn all() -> Vec<Encoding> {
    let mut found = Found::default();
    let prefixes: [&[u8]; 4] = [&[], &[0x66], &[0xf3], &[0xf2]];
    let maps: [&[u8]; 5] = [&[], &[0x0f], &[0x0f, 0x38], &[0x0f, 0x3a], &[0xf0, 0x0f]];
    for prefix in prefixes {
        for rex in [None, Some(0x48), Some(0x40)] {
            for map in maps {
                let mut head = prefix.to_vec();
                // LOCK, before REX.
                let map = match map {
                    [0xf0, rest @ ..] => {
                        head.push(0xf0);
                        rest
                    }
                    map => map,
                };
                head.extend(rex);
                head.extend(map);
                found.every_opcode(&head);
            }
        }
    }
    // 3DNow! has its opcode at the end.
    for opcode in 0..=255 {
        found.take(&[0x0f, 0x0f, 0x05, 8, 0, 0, 0, opcode]);
        found.take(&[0x0f, 0x0f, 0xc1, opcode]);
    }
    for vvvv in [0x78, 0x68] {
        for (escape, maps) in [(0xc4, 1..=3), (0x8f, 8..=10)] {
            for map in maps {
                for rest in 0..16 {
                    // W, vvvv, L, pp.
                    let last = (rest & 8) << 4 | vvvv | rest & 7;
                    found.every_opcode(&[escape, 0xe0 | map, last]);
                }
            }
        }
        for map in [1, 2, 3, 5, 6] {
            for rest in 0..8 {
                // W, vvvv, a one, pp.
                let middle = (rest & 4) << 5 | vvvv | 4 | rest & 3;
                // L'L, b, V', aaa: k1 where a mask is asked for, broadcasts.
                for last in [0x08, 0x28, 0x48, 0x09, 0x29, 0x49, 0x18, 0x38, 0x58] {
                    found.every_opcode(&[0x62, 0xf0 | map, middle, last]);
                }
            }
        }
    }
    found.encodings
}

#[derive(Default)]
struct Found {
    seen: HashSet<(Code, Form, bool)>,
    encodings: Vec<Encoding>,
}

impl Found {
    /// Every opcode behind `head`, with every ModRM that may matter.
    fn every_opcode(&mut self, head: &[u8]) {
        let mut bytes = Vec::with_capacity(32);
        for opcode in 0..=255_u8 {
            // rip, rsi, SIB, registers; eight each.
            let fields = (0..8).flat_map(|reg| [0x05, 0x06, 0x04, 0xc1].map(|m| m | reg << 3));
            let registers = 0xc0..=0xff;
            for modrm in fields.chain(registers) {
                bytes.clear();
                bytes.extend(head);
                bytes.extend([opcode, modrm]);
                if modrm & 0xc7 == 0x04 {
                    bytes.push(SIB);
                }
                bytes.extend(TAIL);
                self.take(&bytes);
            }
        }
    }

    /// Keeps the instruction at the start of `bytes`, if it is a new one.
    fn take(&mut self, bytes: &[u8]) {
        let bytes = &bytes[..bytes.len().min(15)];
        let mut decoder = Decoder::new(64, bytes, DecoderOptions::NONE);
        let instruction = decoder.decode();
        if instruction.is_invalid() {
            return;
        }
        let form = form(&instruction);
        let code = instruction.code();
        if !self.seen.insert((code, form, instruction.is_broadcast())) {
            return;
        }
        let offsets = decoder.get_constant_offsets(&instruction);
        self.encodings.push(Encoding {
            code,
            form,
            bytes: bytes[..instruction.len()].to_vec(),
            field: (offsets.displacement_offset(), offsets.displacement_size()),
        });
    }
}

fn form(instruction: &Instruction) -> Form {
    if instruction.is_ip_rel_memory_operand() {
        return Form::Relative;
    }
    let memory = (0..instruction.op_count()).any(|n| instruction.op_kind(n) == OpKind::Memory);
    if !memory {
        Form::Registers
    } else if instruction.memory_base() == Register::None
        && instruction.memory_index() == Register::None
    {
        Form::Absolute
    } else {
        Form::Memory
    }
}
