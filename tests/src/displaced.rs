//! What an instruction does in place, and what its plan does instead.

use std::collections::BTreeMap;

use pai_engine::displaced::{Emulation, Plan, SLOT_SIZE, Width, emulate, original_ip, plan};
use pai_ptrace::{Regs, Resume, Stop};

use crate::encodings::Encoding;
use crate::puppet::{Numbers, Puppet, STEP_FLAGS, Signal};

const SIGTRAP: i32 = 5;
/// `int3`.
const INT3: u8 = 0xcc;
/// si_code of an `int3` (SI_KERNEL).
const BY_KERNEL: i32 = 0x80;

/// Where the instruction is in an area.
pub const CODE: u64 = 0x1000;
/// Where its slot is.
pub const SLOT: u64 = 0x3000 + SLOT_SIZE as u64;
/// Where the data begins, which goes to the end of the area.
pub const DATA: u64 = 0x6000;
const DATA_SIZE: usize = 0x4000;
/// Some data that is aligned to everything, with much on either side.
pub const MIDDLE: u64 = DATA + 0x2000;

/// The flags that conditions look at.
pub const CONDITIONS: [u64; 5] = [1 << 0, 1 << 2, 1 << 6, 1 << 7, 1 << 11];
/// The one that string instructions look at.
const DIRECTION: u64 = 1 << 10;
/// Always set in the flags register.
pub const FIXED: u64 = 1 << 1;

/// What there is before an instruction.
#[derive(Clone, Debug)]
pub struct Start {
    area: u64,
    /// General registers.
    pub regs: Regs,
    extended: Vec<u8>,
    data: Vec<u8>,
}

/// What there is after it.
#[derive(PartialEq, Debug)]
pub struct After {
    /// `None` when it was completed.
    pub signal: Option<Signal>,
    /// General registers.
    pub regs: BTreeMap<&'static str, u64>,
    extended: Vec<u8>,
    /// Where the data differs from what it was.
    data: Vec<(usize, u8)>,
}

fn after(puppet: &Puppet, start: &Start, stop: Stopped) -> After {
    let mut regs = puppet.regs();
    regs.set_ip(stop.ip);
    assert!(regs.set("eflags", regs.flags() & !STEP_FLAGS));
    let mut extended = puppet.extended_state();
    // The x87 instruction pointer: that of the copy, as documented.
    extended[8..16].fill(0);
    // Which parts are in use: a switch to another task may find that a part has
    // become what it is initially (Intel SDM vol. 1, 13.6). The kernel gives
    // its contents all the same (copy_xstate_to_uabi_buf in
    // arch/x86/kernel/fpu/xstate.c).
    extended[512..520].fill(0);
    let data = puppet.read(start.area + DATA, DATA_SIZE);
    let changed = data.into_iter().enumerate();
    After {
        signal: stop.signal,
        regs: Regs::NAMES.iter().copied().zip(regs.values()).collect(),
        extended,
        data: changed
            .filter(|(at, byte)| start.data[*at] != *byte)
            .collect(),
    }
}

/// Puts everything in place, with `bytes` at the instruction's address.
fn prepare(puppet: &Puppet, start: &Start, bytes: &[u8]) {
    puppet.write(start.area + CODE, bytes);
    puppet.write(start.area + DATA, &start.data);
    puppet.set_extended_state(&start.extended);
    puppet.set_regs(&start.regs);
}

/// Where and why it stopped.
#[derive(PartialEq, Debug)]
struct Stopped {
    signal: Option<Signal>,
    ip: u64,
}

/// Runs to the `int3` at `next`, or to a signal before it.
fn run_to(puppet: &mut Puppet, next: u64) -> Stopped {
    let signal = puppet.run(Resume::Cont);
    let ip = puppet.regs().ip();
    if signal.number == SIGTRAP && signal.code == BY_KERNEL && ip == next + 1 {
        Stopped {
            signal: None,
            ip: next,
        }
    } else {
        Stopped {
            signal: Some(signal),
            ip,
        }
    }
}

/// In place and at full speed, to an `int3` behind it.
pub fn in_place(puppet: &mut Puppet, start: &Start, bytes: &[u8]) -> After {
    let mut code = bytes.to_vec();
    code.push(INT3);
    prepare(puppet, start, &code);
    let stop = run_to(puppet, start.area + CODE + bytes.len() as u64);
    after(puppet, start, stop)
}

/// In place, in a single step.
pub fn stepped(puppet: &mut Puppet, start: &Start, bytes: &[u8]) -> After {
    prepare(puppet, start, bytes);
    let signal = puppet.run(Resume::Step);
    let done = signal.number == SIGTRAP && signal.code != BY_KERNEL;
    let stop = Stopped {
        signal: Some(signal).filter(|_| !done),
        ip: puppet.regs().ip(),
    };
    after(puppet, start, stop)
}

/// A breakpoint in place of the instruction and the copy in its slot.
pub fn copied(puppet: &mut Puppet, start: &Start, len: usize, code: &[u8]) -> After {
    let (addr, slot) = (start.area + CODE, start.area + SLOT);
    prepare(puppet, start, &vec![INT3; len + 1]);
    puppet.write(slot, code);
    let mut regs = start.regs;
    regs.set_ip(slot);
    puppet.set_regs(&regs);
    let mut stop = run_to(puppet, addr + len as u64);
    // What the engine does at any stop.
    let short = u8::try_from(len).expect("15 at most");
    let translate = |at: &mut u64| {
        if let Some(original) = original_ip(*at, slot, addr, short) {
            *at = original;
        }
    };
    translate(&mut stop.ip);
    if let Some(at) = stop.signal.as_mut().and_then(|s| s.address.as_mut()) {
        translate(at);
    }
    after(puppet, start, stop)
}

/// The branch done by us; `None` when that is refused.
pub fn emulated(puppet: &mut Puppet, start: &Start, emulation: &Emulation) -> Option<After> {
    prepare(puppet, start, &[INT3; 16]);
    let mut regs = start.regs;
    emulate(emulation, &mut regs, puppet).ok()?;
    puppet.set_regs(&regs);
    let stop = Stopped {
        signal: None,
        ip: puppet.regs().ip(),
    };
    Some(after(puppet, start, stop))
}

/// Random contents of everything; pointers where instructions expect them.
pub fn start(puppet: &mut Puppet, area: u64, seed: u64) -> Start {
    let mut numbers = Numbers(seed);
    let data = numbers.bytes(DATA_SIZE);
    let extended = vectors(puppet, area, &data);
    let mut regs = puppet.regs;
    for number in 8..16 {
        regs.set_general(number, numbers.draw());
    }
    let mut pointer = || area + MIDDLE + numbers.draw() % 0x80 * 16;
    for name in ["rbx", "rbp", "rsi", "rdi"] {
        assert!(regs.set(name, pointer()));
    }
    regs.set_sp(pointer());
    let some = [
        ("rax", numbers.draw()),
        ("rcx", numbers.draw() % 8),
        ("rdx", numbers.draw() % 0x40),
        ("fs_base", area + DATA),
        ("gs_base", area + DATA + 0x1000),
        ("rip", area + CODE),
    ];
    for (name, value) in some {
        assert!(regs.set(name, value));
    }
    // No popf is to set the trap flag: see the list of known differences.
    let mut data = data;
    for word in data.chunks_exact_mut(8) {
        word[1] &= !1;
    }
    let flags = CONDITIONS.iter().fold(DIRECTION, |all, flag| all | flag);
    assert!(regs.set("eflags", FIXED | numbers.draw() & flags));
    Start {
        area,
        regs,
        extended,
        data,
    }
}

/// Has the puppet fill its vector registers from the data, and returns them.
fn vectors(puppet: &mut Puppet, area: u64, data: &[u8]) -> Vec<u8> {
    // fninit; fldpi; fldl2e
    let mut code = vec![0xdb, 0xe3, 0xd9, 0xeb, 0xd9, 0xea];
    for n in 0..8_u8 {
        let modrm = 0x86 | n << 3;
        let at = [0, n, 0, 0];
        if std::is_x86_feature_detected!("avx512f") {
            // vmovups zmm, [rsi+disp8*64] for n and n + 8, n + 16, n + 24.
            for p0 in [0xf1, 0x71, 0xe1, 0x61] {
                code.extend([0x62, p0, 0x7c, 0x48, 0x10, 0x46 | n << 3, n + (p0 >> 4)]);
            }
            // kmovw k, [rsi+disp32]
            code.extend([0xc5, 0xf8, 0x90, modrm]);
        } else if std::is_x86_feature_detected!("avx") {
            // vmovups ymm, [rsi+disp32] for n + 8, then for n.
            code.extend([0xc5, 0x7c, 0x10, modrm, 0, n, 1, 0]);
            code.extend([0xc5, 0xfc, 0x10, modrm]);
        } else {
            // movups xmm, [rsi+disp32]
            code.extend([0x0f, 0x10, modrm]);
        }
        code.extend(at);
    }
    code.push(INT3);
    puppet.write(area + CODE, &code);
    puppet.write(area + DATA, data);
    let mut regs = puppet.regs;
    regs.set_ip(area + CODE);
    assert!(regs.set("rsi", area + DATA));
    puppet.set_regs(&regs);
    let end = area + CODE + code.len() as u64 - 1;
    assert_eq!(run_to(puppet, end).signal, None);
    puppet.extended_state()
}

/// What is not the same, for people.
pub fn difference(encoding: &Encoding, bytes: &[u8], reference: &After, outcome: &After) -> String {
    let mut text = format!("{:?} {bytes:02x?}:", encoding.code);
    if reference.signal != outcome.signal {
        text += &format!(" {:?} became {:?}", reference.signal, outcome.signal);
    }
    for (name, value) in &reference.regs {
        if outcome.regs[name] != *value {
            text += &format!(" {name} {value:#x} became {:#x}", outcome.regs[name]);
        }
    }
    if reference.data != outcome.data {
        let (was, is) = (&reference.data, &outcome.data);
        let at = was.iter().zip(is).position(|(a, b)| a != b);
        let at = at.unwrap_or(was.len().min(is.len()));
        text += &format!(" data {:x?} became {:x?}", was.get(at), is.get(at));
    }
    if reference.extended != outcome.extended {
        let (was, is) = (&reference.extended, &outcome.extended);
        let at: Vec<usize> = (0..was.len()).filter(|at| was[*at] != is[*at]).collect();
        text += &format!(" extended state at {at:?}");
    }
    text
}

/// Compares what it does in place with its plan. False for a branch that was
/// not done, and which faults in place.
pub fn compare(puppet: &mut Puppet, start: &Start, bytes: &[u8], width: Width) -> bool {
    let (addr, slot) = (start.area + CODE, start.area + SLOT);
    let planned = plan(bytes, addr, slot, width);
    let (reference, outcome) = match &planned {
        Ok(Plan::Emulate(emulation)) => (
            stepped(puppet, start, bytes),
            emulated(puppet, start, emulation),
        ),
        Ok(Plan::Copy { code, .. }) => (
            in_place(puppet, start, bytes),
            Some(copied(puppet, start, bytes.len(), code)),
        ),
        other => panic!("{bytes:02x?}: {other:?}"),
    };
    match outcome {
        Some(outcome) => {
            assert_eq!(outcome.regs, reference.regs, "{bytes:02x?}");
            assert!(
                outcome == reference,
                "{bytes:02x?}: {:x?} {:x?}",
                outcome.data,
                reference.data
            );
            true
        }
        None => {
            let signal = reference.signal;
            assert!(signal.is_some(), "{bytes:02x?} was refused");
            assert_eq!(reference.data, [], "{bytes:02x?}");
            false
        }
    }
}

/// A start where every word of memory and every register is an address that
/// may be jumped to.
pub fn branch_start(puppet: &mut Puppet, area: u64, seed: u64) -> Start {
    let mut start = start(puppet, area, seed);
    for word in start.data.chunks_exact_mut(8) {
        word[6..].fill(0);
        word[5] &= 0x7f;
    }
    for number in [0, 8, 9, 10, 11, 12, 13, 14, 15] {
        let value = start.regs.general(number) & 0x7fff_ffff_ffff;
        start.regs.set_general(number, value);
    }
    // Also where it counts half words.
    let even = start.regs.general(1) & !1;
    start.regs.set_general(1, even);
    start
}

/// What is left of a value in code of this width.
pub fn width_of(value: u64, width: Width) -> u64 {
    match width {
        Width::Bits64 => value,
        Width::Bits32 => value & 0xffff_ffff,
    }
}

/// As 32-bit code has them.
pub fn narrow(regs: &mut Regs) {
    for number in 0..16 {
        let value = width_of(regs.general(number), Width::Bits32);
        regs.set_general(number, if number < 8 { value } else { 0 });
    }
    for (name, selector) in [("cs", 0x23), ("ss", 0x2b), ("ds", 0x2b), ("es", 0x2b)] {
        assert!(regs.set(name, selector));
    }
}

/// A system call made in place.
pub fn called(puppet: &mut Puppet, start: &Start, bytes: &[u8]) -> After {
    let mut code = bytes.to_vec();
    code.push(INT3);
    prepare(puppet, start, &code);
    assert_eq!(puppet.go_on(Resume::Syscall), Stop::Syscall);
    assert_eq!(puppet.go_on(Resume::Syscall), Stop::Syscall);
    let stop = run_to(puppet, start.area + CODE + bytes.len() as u64);
    after(puppet, start, stop)
}

/// One made in the slot, and corrected at its entry.
pub fn called_from_slot(
    puppet: &mut Puppet,
    start: &Start,
    code: &[u8],
    next: u64,
    in_rcx: bool,
) -> After {
    prepare(puppet, start, &[INT3; 16]);
    puppet.write(start.area + SLOT, code);
    let mut regs = start.regs;
    regs.set_ip(start.area + SLOT);
    puppet.set_regs(&regs);
    assert_eq!(puppet.go_on(Resume::Syscall), Stop::Syscall);
    let mut regs = puppet.regs();
    assert_eq!(regs.get("rcx") == Some(regs.ip()), in_rcx);
    if in_rcx {
        assert!(regs.set("rcx", next));
    }
    regs.set_ip(next);
    puppet.set_regs(&regs);
    assert_eq!(puppet.go_on(Resume::Syscall), Stop::Syscall);
    let stop = run_to(puppet, next);
    after(puppet, start, stop)
}
