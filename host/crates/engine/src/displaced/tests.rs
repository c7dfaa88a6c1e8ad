//! Plans of encodings put together by hand, and branches on made-up memory.

use std::collections::HashMap;

use pai_ptrace::Regs;

use super::{
    Fault, MAX_INSTRUCTION, Memory, NotCode, Plan, SLOT_SIZE, StepKind, Width, boundary, emulate,
    instruction_len, original_ip, plan, step_kind,
};

const ADDR: u64 = 0x5555_5555_1234;
const SLOT: u64 = 0x5555_4000_0020;

fn bytes(hex: &str) -> Vec<u8> {
    hex.split_whitespace()
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect()
}

/// The plan in a word.
fn word(hex: &str, width: Width) -> &'static str {
    let original = bytes(hex);
    let (addr, slot) = match width {
        Width::Bits64 => (ADDR, SLOT),
        Width::Bits32 => (0x0804_8000, 0xf700_0020),
    };
    // What comes behind an instruction must not matter.
    let mut followed = original.clone();
    followed.extend([0xcc; 16]);
    followed.truncate(MAX_INSTRUCTION);
    let planned = plan(&original, addr, slot, width);
    assert_eq!(planned, plan(&followed, addr, slot, width), "{hex}");
    let Ok(planned) = planned else {
        return "not code";
    };
    assert_eq!(
        usize::from(planned.instruction_len()),
        original.len(),
        "{hex}"
    );
    if let Some(code) = planned.code() {
        let (copy, jump) = code.split_at(original.len());
        assert!(code.len() <= SLOT_SIZE);
        assert_eq!(jump[0], 0xe9, "{hex}");
        let distance = i32::from_le_bytes(jump[1..].try_into().unwrap());
        let lands = (slot + code.len() as u64).wrapping_add_signed(distance.into());
        assert_eq!(
            width.address(lands),
            addr + original.len() as u64,
            "{hex} jumps back"
        );
        let changed = (0..copy.len())
            .filter(|at| copy[*at] != original[*at])
            .count();
        let may_change = matches!(planned, Plan::Copy { adjusted: true, .. });
        assert!(
            changed <= if may_change { 4 } else { 0 },
            "{hex}: {copy:02x?}"
        );
    }
    match planned {
        Plan::Copy { adjusted, .. } => {
            if adjusted {
                "adjust"
            } else {
                "copy"
            }
        }
        Plan::Emulate(_) => "emulate",
        Plan::SystemCall { next, .. } => match next {
            Some(next) => {
                assert_eq!(next, addr + original.len() as u64);
                "syscall"
            }
            None => "sysenter",
        },
        Plan::Trap { .. } => "trap",
        Plan::InPlace { .. } => "in place",
    }
}

#[test]
fn every_class_of_64_bit_code() {
    let table = [
        // Whatever does not name its own place, byte by byte.
        ("90", "copy"),
        ("f3 0f 1e fa", "copy"),                                  // endbr64
        ("66 2e 0f 1f 84 00 00 00 00 00", "copy"),                // nop word cs:[rax+rax]
        ("55", "copy"),                                           // push rbp
        ("48 89 e5", "copy"),                                     // mov rbp, rsp
        ("48 83 ec 28", "copy"),                                  // sub rsp, 0x28
        ("64 48 8b 04 25 28 00 00 00", "copy"),                   // mov rax, fs:[0x28]
        ("f0 48 0f b1 0a", "copy"),                               // lock cmpxchg [rdx], rcx
        ("f3 48 a5", "copy"),                                     // rep movsq
        ("48 b8 88 77 66 55 44 33 22 11", "copy"),                // mov rax, imm64
        ("48 a1 88 77 66 55 44 33 22 11", "copy"),                // mov rax, [moffs64]
        ("8b 04 25 00 10 00 00", "copy"),                         // mov eax, [0x1000]: no rip
        ("c5 f8 28 07", "copy"),                                  // vmovaps xmm0, [rdi]
        ("62 f1 7c 48 28 07", "copy"),                            // vmovaps zmm0, [rdi]
        ("9c", "copy"),                                           // pushfq
        ("9d", "copy"),                                           // popfq
        ("0f 0b", "copy"),                                        // ud2
        ("f4", "copy"),                                           // hlt
        ("f1", "copy"),                                           // int1
        ("cd 81", "copy"),                                        // int 0x81
        ("cd 04", "copy"),                                        // int 4
        ("fa", "copy"),                                           // cli
        ("0f a2", "copy"),                                        // cpuid
        ("c9", "copy"),                                           // leave
        ("c6 f8 01", "copy"),                                     // xabort 1
        ("0f 01 d5", "copy"),                                     // xend
        ("d9 30", "copy"),                                        // fnstenv [rax]
        ("cb", "copy"),                                           // retf
        ("48 cf", "copy"),                                        // iretq
        ("0f 07", "copy"),                                        // sysret
        ("ff 28", "copy"),                                        // jmp far [rax]
        ("0f 01 d9", "copy"),                                     // vmmcall
        ("66 66 66 66 66 66 66 66 66 66 66 66 66 66 90", "copy"), // 15 bytes
        // Relative to the instruction, in every encoding.
        ("48 8d 05 10 00 00 00", "adjust"), // lea rax, [rip+0x10]
        ("48 8b 05 10 00 00 00", "adjust"), // mov rax, [rip+0x10]
        ("48 c7 05 10 00 00 00 78 56 34 12", "adjust"), // mov [rip+0x10], imm32
        ("66 c7 05 10 00 00 00 34 12", "adjust"), // imm16 behind it
        ("80 3d 10 00 00 00 00", "adjust"), // cmp byte [rip+0x10], 0
        ("f0 ff 05 10 00 00 00", "adjust"), // lock inc [rip+0x10]
        ("65 8b 05 10 00 00 00", "adjust"), // mov eax, gs:[rip+0x10]
        ("67 48 8b 05 10 00 00 00", "adjust"), // mov rax, [eip+0x10]
        ("66 0f 6f 05 10 00 00 00", "adjust"), // movdqa xmm0, [rip+0x10]
        ("66 0f 3a 0f 05 10 00 00 00 05", "adjust"), // palignr, imm8 behind it
        ("c5 f9 6f 05 10 00 00 00", "adjust"), // vmovdqa, VEX2
        ("c4 e3 7d 39 05 10 00 00 00 01", "adjust"), // vextracti128, VEX3
        ("62 f1 7d 48 6f 05 10 00 00 00", "adjust"), // vmovdqa32 zmm, EVEX
        ("62 f3 7d 48 25 05 10 00 00 00 55", "adjust"), // vpternlogd, EVEX and imm8
        ("62 f1 7c 58 58 05 10 00 00 00", "adjust"), // vaddps with broadcast
        ("8f e8 78 c0 05 10 00 00 00 03", "adjust"), // vprotb, XOP
        ("0f 0f 05 10 00 00 00 9e", "adjust"), // pfadd, 3DNow!
        ("d9 05 10 00 00 00", "adjust"),    // fld [rip+0x10]
        ("0f ae 05 10 00 00 00", "adjust"), // fxsave [rip+0x10]
        ("ff 35 10 00 00 00", "adjust"),    // push [rip+0x10]
        ("ff 2d 10 00 00 00", "adjust"),    // jmp far [rip+0x10]
        ("0f 18 0d 10 00 00 00", "adjust"), // prefetcht0
        ("c7 f8 10 00 00 00", "adjust"),    // xbegin
        // Near branches.
        ("eb 10", "emulate"),
        ("e9 10 00 00 00", "emulate"),
        ("f2 e9 10 00 00 00", "emulate"),       // bnd jmp
        ("ff e0", "emulate"),                   // jmp rax
        ("41 ff e7", "emulate"),                // jmp r15
        ("3e ff e0", "emulate"),                // notrack jmp rax
        ("ff 24 c5 00 10 40 00", "emulate"),    // jmp [rax*8+0x401000]
        ("ff 25 10 00 00 00", "emulate"),       // jmp [rip+0x10]
        ("f2 ff 25 10 00 00 00", "emulate"),    // bnd jmp [rip+0x10]
        ("e8 00 00 00 00", "emulate"),          // call $+5
        ("67 e8 10 00 00 00", "emulate"),       // addr32 call
        ("66 66 48 e8 10 00 00 00", "emulate"), // data16 data16 rex.W call
        ("66 48 ff 15 10 00 00 00", "emulate"), // data16 rex.W call [rip+0x10]
        ("ff d0", "emulate"),                   // call rax
        ("ff 50 18", "emulate"),                // call [rax+0x18]
        ("64 ff 14 25 10 00 00 00", "emulate"), // call fs:[0x10]
        ("65 ff 55 00", "emulate"),             // call gs:[rbp]
        ("67 ff 10", "emulate"),                // call [eax]
        ("c3", "emulate"),
        ("f3 c3", "emulate"),    // rep ret
        ("c2 10 00", "emulate"), // ret 16
        ("e0 10", "emulate"),    // loopne
        ("e1 10", "emulate"),    // loope
        ("e2 10", "emulate"),    // loop
        ("67 e2 10", "emulate"), // loop by ecx
        ("e3 10", "emulate"),    // jrcxz
        ("67 e3 10", "emulate"), // jecxz
        ("2e 74 10", "emulate"), // with a hint
        // System calls and traps.
        ("0f 05", "syscall"),
        ("48 0f 05", "syscall"),
        ("cd 80", "syscall"),
        ("0f 34", "sysenter"),
        ("cc", "trap"),
        ("cd 03", "trap"),
        // Known only in place.
        ("66 e8 10 00 00 00", "in place"),
        ("48 66 e8 10 00 00 00", "in place"),
        ("66 eb 10", "in place"),
        ("66 c3", "in place"),
        ("66 ff e0", "in place"),
        ("66 74 10", "in place"),
        ("66 e2 10", "in place"),
        ("ff 18", "in place"),          // call far [rax]
        ("0f 01 d7", "in place"),       // enclu
        ("66 c7 f8 10 00", "in place"), // xbegin rel16
        // No instructions.
        ("06", "not code"),                   // push es
        ("ea 00 00 00 00 33 00", "not code"), // jmp far
        ("ce", "not code"),                   // into
        ("f0 90", "not code"),                // lock nop
        ("f0 e8 00 00 00 00", "not code"),    // lock call
        ("62 00 00 00", "not code"),
        (
            "66 66 66 66 66 66 66 66 66 66 66 66 66 66 66 90",
            "not code",
        ), // 16 bytes
    ];
    for (hex, wanted) in table {
        if wanted == "not code" {
            let planned = plan(&bytes(hex), ADDR, SLOT, Width::Bits64);
            assert_eq!(planned, Err(NotCode { addr: ADDR }), "{hex}");
        } else {
            assert_eq!(word(hex, Width::Bits64), wanted, "{hex}");
        }
    }
    for condition in 0..16 {
        let short = format!("{:x} 10", 0x70 + condition);
        let near = format!("0f {:x} 10 00 00 00", 0x80 + condition);
        assert_eq!(word(&short, Width::Bits64), "emulate");
        assert_eq!(word(&near, Width::Bits64), "emulate");
        assert_eq!(word(&near, Width::Bits32), "emulate");
    }
}

#[test]
fn every_class_of_32_bit_code() {
    let table = [
        ("89 e5", "copy"),
        ("40", "copy"),                       // inc eax, no REX
        ("a1 00 10 00 00", "copy"),           // mov eax, [0x1000]
        ("8b 05 10 00 00 00", "copy"),        // mov eax, [0x10]: not relative
        ("65 a1 14 00 00 00", "copy"),        // mov eax, gs:[0x14]
        ("ce", "copy"),                       // into
        ("ea 00 00 00 00 33 00", "copy"),     // jmp far
        ("9a 00 00 00 00 33 00", "in place"), // call far
        ("cb", "copy"),                       // retf
        ("cf", "copy"),                       // iretd
        ("c7 f8 10 00 00 00", "adjust"),      // xbegin
        ("e8 00 00 00 00", "emulate"),
        ("65 ff 15 10 00 00 00", "emulate"), // call gs:[0x10]
        ("67 ff 27", "emulate"),             // jmp [bx]
        ("67 e3 10", "emulate"),             // jcxz
        ("c2 04 00", "emulate"),
        ("66 e8 10 00", "in place"),
        ("66 c3", "in place"),
        ("cd 80", "syscall"),
        ("0f 34", "sysenter"),
        ("0f 05", "sysenter"),
        ("cc", "trap"),
    ];
    for (hex, wanted) in table {
        assert_eq!(word(hex, Width::Bits32), wanted, "{hex}");
    }
}

#[test]
fn what_is_cut_off_is_no_instruction() {
    let whole = bytes("62 f3 7d 48 25 05 10 00 00 00 55");
    for len in 0..whole.len() {
        let planned = plan(&whole[..len], ADDR, SLOT, Width::Bits64);
        assert_eq!(planned, Err(NotCode { addr: ADDR }), "{len} bytes");
    }
    assert_eq!(instruction_len(&whole, ADDR, Width::Bits64), Ok(11));
}

#[test]
fn an_adjusted_copy_is_exact() {
    let planned = plan(
        &bytes("48 c7 05 10 00 00 00 78 56 34 12"),
        0x40_0000,
        0x40_1000,
        Width::Bits64,
    );
    // 0x40000b + 0x10 is 0x40100b - 0xff0; 0x40000b is 0x401010 - 0x1005.
    let code = bytes("48 c7 05 10 f0 ff ff 78 56 34 12 e9 fb ef ff ff");
    assert_eq!(
        planned,
        Ok(Plan::Copy {
            code,
            len: 11,
            adjusted: true
        })
    );
}

#[test]
fn the_reach_of_a_slot_is_exact() {
    let in_place = |hex: &str, slot: u64| {
        let planned = plan(&bytes(hex), ADDR, slot, Width::Bits64).unwrap();
        matches!(planned, Plan::InPlace { .. })
    };
    // The jump back, 6 bytes behind the slot, to 1 byte behind the original.
    let reach = ADDR + 1 - 6;
    assert!(!in_place("90", reach + (1 << 31)));
    assert!(in_place("90", reach + (1 << 31) + 1));
    assert!(!in_place("90", reach - (1 << 31) + 1));
    assert!(in_place("90", reach - (1 << 31)));
    // An operand 2 GiB in front is out of reach of what is behind.
    let far = "48 8b 05 00 00 00 80";
    assert!(in_place(far, ADDR + 0x1000));
    assert!(!in_place(far, ADDR - 0x1000));
    // One of 32 bits is reached from everywhere.
    assert!(!in_place("67 48 8b 05 00 00 00 80", ADDR + 0x1000));
    // Branches need no slot.
    assert!(!in_place("e8 00 00 00 00", 0));
    let high = plan(&[0x90], 0x0804_8000, 1 << 32, Width::Bits32);
    assert!(matches!(high, Ok(Plan::InPlace { .. })));
}

#[test]
fn a_stop_in_a_slot_is_told_as_one_in_the_original() {
    assert_eq!(original_ip(SLOT, SLOT, ADDR, 4), Some(ADDR));
    assert_eq!(original_ip(SLOT + 4, SLOT, ADDR, 4), Some(ADDR + 4));
    for elsewhere in [SLOT - 1, SLOT + 1, SLOT + 9, ADDR] {
        assert_eq!(original_ip(elsewhere, SLOT, ADDR, 4), None);
    }
}

#[test]
fn boundaries_of_instructions() {
    // push rbp; mov rbp, rsp; call; an invalid byte; ret
    let code = bytes("55 48 89 e5 e8 00 00 00 00 06 c3");
    let met: Vec<u64> = (0..13)
        .filter(|at| boundary(&code, ADDR, ADDR + at, Width::Bits64))
        .collect();
    assert_eq!(met, [0, 1, 4, 9]);
    assert!(!boundary(&code, ADDR, ADDR - 1, Width::Bits64));
    assert!(!boundary(&code, ADDR, u64::MAX, Width::Bits64));
}

#[test]
fn what_a_step_has_to_look_out_for() {
    let next = ADDR + 5;
    let table = [
        ("90", StepKind::Plain),
        ("e8 00 00 00 00", StepKind::Call { next }),
        ("64 ff 54 24 10", StepKind::Call { next }),
        ("eb 00", StepKind::Jump),
        ("74 00", StepKind::Jump),
        ("e2 00", StepKind::Jump),
        ("ff e0", StepKind::Jump),
        ("c3", StepKind::Return),
        ("cb", StepKind::Return),
        ("48 cf", StepKind::Iret),
        ("0f 05", StepKind::Syscall),
        ("0f 34", StepKind::Syscall),
        ("cd 80", StepKind::Syscall),
        ("cc", StepKind::Trap),
        ("f1", StepKind::Trap),
        ("cd 03", StepKind::Trap),
        ("9c", StepKind::Pushf { size: 8 }),
        ("66 9c", StepKind::Pushf { size: 2 }),
        ("9d", StepKind::Popf),
        ("8e d0", StepKind::LoadsSs),
        ("8e d8", StepKind::Plain),
        ("f3 a4", StepKind::Repeat),
        ("f2 ae", StepKind::Repeat),
        ("a4", StepKind::Plain),
        ("f3 90", StepKind::Plain),    // pause
        ("0f 01 d9", StepKind::Plain), // vmmcall
    ];
    for (hex, kind) in table {
        let kind_of = step_kind(&bytes(hex), ADDR, Width::Bits64);
        assert_eq!(kind_of, Ok(kind), "{hex}");
    }
}

/// Bytes at addresses; there is no other memory.
#[derive(Default)]
struct Made {
    bytes: HashMap<u64, u8>,
    read_only: bool,
}

impl Made {
    fn word(addr: u64, value: u64) -> Self {
        let mut made = Self::default();
        made.bytes.extend((addr..).zip(value.to_le_bytes()));
        made
    }
}

impl Memory for Made {
    fn read(&mut self, addr: u64, bytes: &mut [u8]) -> bool {
        (addr..)
            .zip(bytes)
            .all(|(at, byte)| match self.bytes.get(&at) {
                Some(value) => {
                    *byte = *value;
                    true
                }
                None => false,
            })
    }

    fn write(&mut self, addr: u64, bytes: &[u8]) -> bool {
        let writable = !self.read_only;
        if writable {
            self.bytes.extend((addr..).zip(bytes.iter().copied()));
        }
        writable
    }
}

/// Emulates one branch.
fn branch(hex: &str, regs: &mut Regs, memory: &mut Made) -> Result<(), Fault> {
    match plan(&bytes(hex), ADDR, SLOT, Width::Bits64) {
        Ok(Plan::Emulate(emulation)) => emulate(&emulation, regs, memory),
        other => panic!("{hex}: {other:?}"),
    }
}

fn regs(values: &[(&str, u64)]) -> Regs {
    let mut regs = Regs::default();
    assert!(regs.set("cs", 0x33));
    for (name, value) in values {
        assert!(regs.set(name, *value));
    }
    regs
}

#[test]
fn a_call_stores_where_the_original_returns_to() {
    let mut after = regs(&[("rip", ADDR), ("rsp", 0x7000)]);
    let mut memory = Made::default();
    branch("e8 00 00 00 00", &mut after, &mut memory).unwrap();
    assert_eq!(after, regs(&[("rip", ADDR + 5), ("rsp", 0x6ff8)]));
    assert_eq!(memory.bytes, Made::word(0x6ff8, ADDR + 5).bytes);
}

#[test]
fn a_destination_is_read_before_the_stack_changes() {
    // call [rsp-8]: where the return address goes.
    let mut after = regs(&[("rsp", 0x7000)]);
    let mut memory = Made::word(0x6ff8, 0x1234);
    branch("ff 54 24 f8", &mut after, &mut memory).unwrap();
    assert_eq!(after, regs(&[("rip", 0x1234), ("rsp", 0x6ff8)]));
    assert_eq!(memory.bytes, Made::word(0x6ff8, ADDR + 4).bytes);
    // call rsp
    let mut after = regs(&[("rsp", 0x7000)]);
    branch("ff d4", &mut after, &mut memory).unwrap();
    assert_eq!(after, regs(&[("rip", 0x7000), ("rsp", 0x6ff8)]));
}

#[test]
fn a_fault_changes_nothing() {
    let mut memory = Made {
        bytes: Made::word(0x8000, 0x1234).bytes,
        read_only: true,
    };
    let noncanonical = 1 << 47;
    let before = regs(&[
        ("rsp", 0x7000),
        ("rax", 0x8000),
        ("rbx", noncanonical),
        ("rdx", 0x8001),
    ]);
    let table = [
        ("e8 00 00 00 00", 0x6ff8),      // a stack that cannot be written
        ("ff 10", 0x6ff8),               // the destination can be read
        ("ff 11", 0),                    // and here it cannot
        ("ff 22", 0x8001),               // nor its last byte
        ("ff 25 00 00 00 00", ADDR + 6), // nor beside the code
        ("c3", 0x7000),
        ("ff e3", noncanonical),
        ("ff d3", noncanonical),
    ];
    for (hex, addr) in table {
        let mut after = before;
        let fault = branch(hex, &mut after, &mut memory).unwrap_err();
        assert_eq!(fault.addr, addr, "{hex}: {fault}");
        assert_eq!(after, before);
        assert_eq!(memory.bytes, Made::word(0x8000, 0x1234).bytes);
    }
}

#[test]
fn the_flag_for_alignment_checks_is_heeded() {
    let checks = 1 << 18;
    for (flags, rsp, fine) in [
        (0, 0x7004, true),
        (checks, 0x7004, false),
        (checks, 0x7008, true),
    ] {
        let mut memory = Made::word(rsp, 0x1234);
        let mut after = regs(&[("rsp", rsp), ("eflags", flags)]);
        assert_eq!(branch("c3", &mut after, &mut memory).is_ok(), fine);
    }
}

#[test]
fn a_kernel_address_with_48_bits_is_one() {
    // The vsyscall page.
    let page = 0xffff_ffff_ff60_0000;
    let mut after = regs(&[("rsp", 0x7000), ("rax", page)]);
    branch("ff d0", &mut after, &mut Made::default()).unwrap();
    assert_eq!(after.ip(), page);
}

#[test]
fn segments_of_a_program_s_own_are_left_to_the_processor() {
    let planned = plan(&[0xc3], 0x1000, 0x2000, Width::Bits32);
    let Ok(Plan::Emulate(emulation)) = planned else {
        panic!("{planned:?}");
    };
    for (cs, ss, fine) in [(0x23, 0x2b, true), (0x0f, 0x2b, false), (0x23, 0x17, false)] {
        // The stack of 32-bit code wraps around.
        let mut memory = Made::word(0xffff_fffc, 0x9999_1234_5678);
        let mut after = regs(&[("cs", cs), ("ss", ss), ("rsp", 0xffff_fffc)]);
        let done = emulate(&emulation, &mut after, &mut memory);
        assert_eq!(done.is_ok(), fine);
        if fine {
            let wanted = regs(&[("cs", cs), ("ss", ss), ("rip", 0x1234_5678)]);
            assert_eq!(after, wanted);
        }
    }
}

#[test]
fn the_segment_of_thread_local_data_has_to_be_one() {
    // call gs:[0x10]
    let planned = plan(
        &bytes("65 ff 15 10 00 00 00"),
        0x1000,
        0x2000,
        Width::Bits32,
    );
    let Ok(Plan::Emulate(emulation)) = planned else {
        panic!("{planned:?}");
    };
    for (gs, fine) in [(0x63, true), (0, false), (3, false), (0x0f, false)] {
        let mut memory = Made::word(0x5010, 0x9999_1234_5678);
        let some = [
            ("cs", 0x23),
            ("ss", 0x2b),
            ("gs", gs),
            ("gs_base", 0x5000),
            ("rsp", 0x7000),
        ];
        let mut after = regs(&some);
        let done = emulate(&emulation, &mut after, &mut memory);
        assert_eq!(done.is_ok(), fine, "{gs:#x}");
        if fine {
            assert_eq!((after.ip(), after.sp()), (0x1234_5678, 0x6ffc));
        }
    }
}

#[test]
fn a_plan_holds_for_one_width() {
    let widths = [
        (0x33, Some(Width::Bits64)),
        (0x23, Some(Width::Bits32)),
        (0x0f, None),
    ];
    for (cs, width) in widths {
        let mut after = regs(&[("cs", cs), ("rsp", 0x7000)]);
        assert_eq!(Width::of(&after), width);
        let done = branch("c3", &mut after, &mut Made::word(0x7000, 0x1234));
        assert_eq!(done.is_ok(), width == Some(Width::Bits64));
    }
}
