//! Instructions of BPF programs (linux/bpf.h, linux/bpf_common.h).

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

use crate::decode::schema::prelude::*;

use super::sets::REGISTERS;

structs! {
    INSTRUCTION "bpf_insn" {
        code: Special(code, 1), dst_reg: Scalar(W8, Style::One(&REGISTERS)); 4,
        src_reg: Scalar(W8, Style::One(&REGISTERS)); 4, off: I16, imm: X32,
    }
}

/// A pointer to a program: shown with everything.
pub(super) const PROGRAM: Type = Pick(|_| &SHORT, 8);

const SHORT: Type = Then(
    &Array(In, &Struct(&INSTRUCTION), Len::Field("insn_cnt")),
    |value, _| match value {
        Value::To { addr, value } => {
            let told = format!("{addr:#x}");
            Value::Told(Box::new(Value::To { addr, value }), told)
        }
        value => value,
    },
);

const CLASSES: [&str; 8] = [
    "BPF_LD",
    "BPF_LDX",
    "BPF_ST",
    "BPF_STX",
    "BPF_ALU",
    "BPF_JMP",
    "BPF_JMP32",
    "BPF_ALU64",
];
const SIZES: [&str; 4] = ["BPF_W", "BPF_H", "BPF_B", "BPF_DW"];
const MODES: [&str; 8] = [
    "BPF_IMM", "BPF_ABS", "BPF_IND", "BPF_MEM", "", "", "BPF_XADD", "",
];
const OPERATIONS: [&str; 16] = [
    "BPF_ADD", "BPF_SUB", "BPF_MUL", "BPF_DIV", "BPF_OR", "BPF_AND", "BPF_LSH", "BPF_RSH",
    "BPF_NEG", "BPF_MOD", "BPF_XOR", "BPF_MOV", "BPF_ARSH", "BPF_END", "", "",
];
const JUMPS: [&str; 16] = [
    "BPF_JA", "BPF_JEQ", "BPF_JGT", "BPF_JGE", "BPF_JSET", "BPF_JNE", "BPF_JSGT", "BPF_JSGE",
    "BPF_CALL", "BPF_EXIT", "BPF_JLT", "BPF_JLE", "BPF_JSLT", "BPF_JSLE", "", "",
];

/// What an instruction does, in three fields of bits.
fn code(view: &View<'_>) -> Value {
    let code = view.number(0, W8).unwrap_or(0);
    let at = |shift: u32, mask: u64| usize::try_from(code >> shift & mask).unwrap_or(0);
    let name = |names: &[&'static str], at: usize, bits: u64| match names.get(at) {
        Some(name) if !name.is_empty() => String::from(*name),
        _ => format!("{:#x} /* BPF_??? */", code & bits),
    };
    let class = at(0, 7);
    let mut text = name(&CLASSES, class, 7);
    match class {
        0..=3 => {
            let (size, mode) = (name(&SIZES, at(3, 3), 0x18), name(&MODES, at(5, 7), 0xe0));
            text.push_str(&format!("|{size}|{mode}"));
        }
        6 if code & !7 == 0 => {}
        6 => text.push_str(&format!("|{:#x} /* BPF_??? */", code & !7)),
        _ => {
            let operations = if class == 5 { &JUMPS } else { &OPERATIONS };
            let source = if code & 8 == 0 { "BPF_K" } else { "BPF_X" };
            text.push_str(&format!("|{source}|{}", name(operations, at(4, 15), 0xf0)));
        }
    }
    Value::Named(code, text.into())
}
