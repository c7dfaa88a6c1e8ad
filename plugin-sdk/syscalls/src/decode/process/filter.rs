//! Filters of classic BPF (linux/bpf_common.h, linux/filter.h): of system calls, and of
//! what comes in at a socket.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use crate::decode::schema::prelude::*;
use crate::decode::schema::sets;

sets! {
    CLASS "BPF_???" {
        BPF_LD = 0, BPF_LDX = 1, BPF_ST = 2, BPF_STX = 3, BPF_ALU = 4, BPF_JMP = 5, BPF_RET = 6,
        BPF_MISC = 7,
    }
    WIDTH "BPF_???" { BPF_W = 0, BPF_H = 0x8, BPF_B = 0x10, BPF_DW = 0x18 }
    MODE_OF "BPF_???" {
        BPF_IMM = 0, BPF_ABS = 0x20, BPF_IND = 0x40, BPF_MEM = 0x60, BPF_LEN = 0x80,
        BPF_MSH = 0xa0, BPF_XADD = 0xc0,
    }
    SOURCE "BPF_???" { BPF_K = 0, BPF_X = 8 }
    ARITHMETIC "BPF_???" {
        BPF_ADD = 0, BPF_SUB = 0x10, BPF_MUL = 0x20, BPF_DIV = 0x30, BPF_OR = 0x40,
        BPF_AND = 0x50, BPF_LSH = 0x60, BPF_RSH = 0x70, BPF_NEG = 0x80, BPF_MOD = 0x90,
        BPF_XOR = 0xa0, BPF_MOV = 0xb0, BPF_ARSH = 0xc0, BPF_END = 0xd0,
    }
    JUMP "BPF_???" {
        BPF_JA = 0, BPF_JEQ = 0x10, BPF_JGT = 0x20, BPF_JGE = 0x30, BPF_JSET = 0x40,
        BPF_JNE = 0x50, BPF_JSGT = 0x60, BPF_JSGE = 0x70, BPF_CALL = 0x80, BPF_EXIT = 0x90,
        BPF_JLT = 0xa0, BPF_JLE = 0xb0, BPF_JSLT = 0xc0, BPF_JSLE = 0xd0,
    }
    RESULT "BPF_???" { BPF_K = 0, BPF_X = 8, BPF_A = 0x10 }
    MISC "BPF_???" { BPF_TAX = 0, BPF_TXA = 0x80 }
    /// Bits that mean nothing.
    REST "BPF_???" {}

    LOAD "" first(7 => CLASS, 0x18 => WIDTH, 0xe0 => MODE_OF, 0xff00 => REST) {}
    STORE "" first(7 => CLASS, 0xfff8 => REST) {}
    ALU "" first(7 => CLASS, 8 => SOURCE, 0xf0 => ARITHMETIC, 0xff00 => REST) {}
    JMP "" first(7 => CLASS, 8 => SOURCE, 0xf0 => JUMP, 0xff00 => REST) {}
    RET "" first(7 => CLASS, 0x18 => RESULT, 0xffe0 => REST) {}
    OTHER "" first(7 => CLASS, 0xf8 => MISC, 0xff00 => REST) {}

    /// What a filter of system calls answers (seccomp(2)).
    ACTION "SECCOMP_RET_???" {
        SECCOMP_RET_KILL_PROCESS = 0x8000_0000, SECCOMP_RET_KILL_THREAD = 0,
        SECCOMP_RET_TRAP = 0x3_0000, SECCOMP_RET_ERRNO = 0x5_0000,
        SECCOMP_RET_USER_NOTIF = 0x7fc0_0000, SECCOMP_RET_TRACE = 0x7ff0_0000,
        SECCOMP_RET_LOG = 0x7ffc_0000, SECCOMP_RET_ALLOW = 0x7fff_0000,
    }
    ANSWER "" first(0xffff_0000 => ACTION) {}
}

const CLASS_RET: u64 = 6;

/// An instruction, `struct sock_filter`. What it returns is an answer of seccomp(2), if
/// that is said.
pub(crate) fn instruction(view: &View<'_>, seccomp: bool) -> Value {
    let number = |offset, width| view.number(offset, width).unwrap_or(0);
    let code = number(0, W16);
    let (if_true, if_false, k) = (number(2, W8), number(3, W8), number(4, W32));
    let class = code & 7;
    let set = match class {
        0 | 1 => &LOAD,
        2 | 3 => &STORE,
        4 => &ALU,
        5 => &JMP,
        6 => &RET,
        _ => &OTHER,
    };
    let code = Value::Flags(code, set);
    if if_true != 0 || if_false != 0 {
        let parts = [
            code,
            Value::Hex(k),
            Value::Hex(if_true),
            Value::Hex(if_false),
        ];
        return Value::Call("BPF_JUMP", Vec::from(parts));
    }
    let k = match seccomp && class == CLASS_RET {
        true => Value::Flags(k, &ANSWER),
        false => Value::Hex(k),
    };
    Value::Call("BPF_STMT", Vec::from([code, k]))
}

fn of_seccomp(view: &View<'_>) -> Value {
    instruction(view, true)
}

const SIZE_OF_ONE: u32 = 8;
/// One of a filter of system calls.
pub(crate) const SECCOMP_INSTRUCTION: Type = Special(of_seccomp, SIZE_OF_ONE);
const SECCOMP_CODE: Type = Array(In, &SECCOMP_INSTRUCTION, Len::Field("len"));

structs! {
    /// seccomp(2)
    SECCOMP_FILTER "sock_fprog" { len: U16, filter: Then(&SECCOMP_CODE, brief) }
}

/// For people it is enough to know where it is.
pub(crate) fn brief(value: Value, _: &View<'_>) -> Value {
    match &value {
        Value::To { addr, .. } => {
            let addr = format!("{addr:#x}");
            Value::Told(Box::new(value), addr)
        }
        _ => value,
    }
}
