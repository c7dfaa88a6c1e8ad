//! Instructions under a breakpoint: each does elsewhere, by its plan, exactly
//! what the processor makes it do in place.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use iced_x86::{Code, Decoder, DecoderOptions, Mnemonic};
use pai_engine::displaced::{Plan, SLOT_SIZE, Width, plan};
use pai_tests::displaced::{
    CODE, CONDITIONS, FIXED, MIDDLE, SLOT, branch_start, called, called_from_slot, compare, copied,
    difference, emulated, in_place, narrow, start, stepped, width_of,
};
use pai_tests::elf;
use pai_tests::encodings::{self, Form};
use pai_tests::puppet::Puppet;

/// Whose results are different each time, or which are not safe to try.
fn is_unsteady(code: Code) -> bool {
    matches!(
        code.mnemonic(),
        Mnemonic::Rdtsc
            | Mnemonic::Rdtscp
            | Mnemonic::Rdrand
            | Mnemonic::Rdseed
            | Mnemonic::Rdpid
            | Mnemonic::Rdpru
            | Mnemonic::Cpuid
            // Wait.
            | Mnemonic::Mwaitx
            | Mnemonic::Umwait
            | Mnemonic::Tpause
            // Calls of the hypervisor, which may change the code.
            | Mnemonic::Vmcall
            | Mnemonic::Vmmcall
            | Mnemonic::Vmgexit
    )
}

#[test]
fn every_instruction_does_elsewhere_what_it_does_in_place() {
    let mut puppet = Puppet::start();
    let mut counts = BTreeMap::<&str, [usize; 2]>::new();
    let mut failures = Vec::new();
    let encodings = encodings::all();
    let areas = [puppet.low, puppet.high];
    for (round, area) in (0..).zip(areas) {
        let start = start(&mut puppet, area, round);
        for encoding in encodings.iter().filter(|e| !is_unsteady(e.code)) {
            let addr = area + CODE;
            let bytes = encoding.at(addr, area + MIDDLE);
            let planned = plan(&bytes, addr, area + SLOT, Width::Bits64);
            let planned = planned.unwrap_or_else(|e| panic!("{encoding:?}: {e}"));
            let (kind, reference, outcome) = match &planned {
                Plan::Copy { code, adjusted, .. } => (
                    if *adjusted { "adjusted" } else { "copied" },
                    in_place(&mut puppet, &start, &bytes),
                    copied(&mut puppet, &start, bytes.len(), code),
                ),
                Plan::Emulate(emulation) => {
                    let reference = stepped(&mut puppet, &start, &bytes);
                    match emulated(&mut puppet, &start, emulation) {
                        Some(outcome) => ("emulated", reference, outcome),
                        // It is stepped in place then.
                        None if reference.signal.is_some() => continue,
                        None => panic!("{encoding:?} was refused: {reference:?}"),
                    }
                }
                Plan::SystemCall { .. } | Plan::Trap { .. } | Plan::InPlace { .. } => continue,
            };
            let form = match encoding.form {
                Form::Relative => "relative",
                _ => kind,
            };
            let count = counts.entry(form).or_default();
            count[0] += 1;
            if reference.signal.is_none() {
                count[1] += 1;
            }
            if outcome != reference {
                failures.push(difference(encoding, &bytes, &reference, &outcome));
            }
        }
    }
    println!("encodings tried, and completed without a fault: {counts:?}");
    assert!(
        failures.is_empty(),
        "{} differ:\n{}",
        failures.len(),
        failures[..failures.len().min(40)].join("\n")
    );
    // The processor may not know the newer ones.
    assert!(counts["copied"][1] > 1000, "{counts:?}");
    assert!(counts["relative"][1] > 1000, "{counts:?}");
    assert!(counts["emulated"][1] > 30, "{counts:?}");
}

fn bytes(hex: &str) -> Vec<u8> {
    hex.split_whitespace()
        .map(|byte| u8::from_str_radix(byte, 16).expect("two digits"))
        .collect()
}

/// Combinations of the flags that conditions look at.
fn flags() -> impl Iterator<Item = u64> {
    (0..1_u32 << CONDITIONS.len()).map(|chosen| {
        let set = (0..).zip(CONDITIONS).filter(|(n, _)| chosen & 1 << n != 0);
        set.fold(FIXED, |all, (_, flag)| all | flag)
    })
}

#[test]
fn conditions_are_those_of_the_processor() {
    let mut puppet = Puppet::start();
    let areas = [(puppet.high, Width::Bits64), (puppet.low, Width::Bits32)];
    for (area, width) in areas {
        let mut start = branch_start(&mut puppet, area, 1);
        if width == Width::Bits32 {
            narrow(&mut start.regs);
        }
        for flags in flags() {
            assert!(start.regs.set("eflags", flags));
            for condition in 0..16 {
                for code in [
                    [0x70 | condition, 0x80, 0, 0, 0, 0],
                    [0x0f, 0x80 | condition, 0x78, 0x56, 0x34, 0x12],
                ] {
                    let len = if code[0] == 0x0f { 6 } else { 2 };
                    assert!(compare(&mut puppet, &start, &code[..len], width));
                }
            }
        }
        for count in [0, 1, 2, 0x1_0000, 1 << 32, (1 << 32) + 1, u64::MAX] {
            let mut start = start.clone();
            assert!(start.regs.set("rcx", width_of(count, width)));
            for flags in [FIXED, FIXED | 1 << 6] {
                assert!(start.regs.set("eflags", flags));
                for opcode in 0xe0..=0xe3 {
                    assert!(compare(&mut puppet, &start, &[opcode, 0x10], width));
                    assert!(compare(&mut puppet, &start, &[0x67, opcode, 0x10], width));
                }
            }
        }
    }
}

/// Branches of every form. `D` stands for the four bytes of an address in the
/// data, `R` for a distance to there.
const BRANCHES: [&str; 53] = [
    "e8 00 00 00 00",
    "e8 78 56 34 12",
    "e8 f0 ff ff ff",
    "f2 e8 10 00 00 00",
    "67 e8 10 00 00 00",
    "66 48 e8 10 00 00 00",
    "66 66 48 e8 10 00 00 00",
    "eb 7f",
    "eb 80",
    "e9 78 56 34 12",
    "f2 e9 10 00 00 00",
    "c3",
    "f3 c3",
    "f2 c3",
    "48 c3",
    "c2 00 00",
    "c2 10 00",
    "c2 ff ff",
    // Those by ModRM are written as calls, and tried as jumps too.
    "ff d0",
    "ff d4",
    "ff d5",
    "48 ff d0",
    "3e ff d0",
    "41 ff d0",
    "41 ff d4",
    "41 ff d5",
    "41 ff d7",
    "ff 13",
    "ff 53 10",
    "ff 53 f0",
    "ff 93 00 01 00 00",
    "ff 55 08",
    "ff 14 24",
    "ff 54 24 f8",
    "ff 54 24 10",
    "ff 14 8e",
    "ff 14 d6",
    "ff 54 d6 08",
    "ff 14 cd D",
    "ff 14 25 D",
    "67 ff 14 25 D",
    "67 ff 16",
    "67 ff 54 8e 08",
    "ff 15 R",
    "67 ff 15 R",
    "66 48 ff 15 R",
    "2e ff 16",
    "3e ff 15 R",
    "64 ff 14 25 10 00 00 00",
    "64 ff 14 d5 10 00 00 00",
    "65 ff 14 25 18 01 00 00",
    "65 ff 14 cd 18 00 00 00",
    "67 64 ff 14 25 20 00 00 00",
];

/// The bytes for an instruction at `addr`.
fn placed(form: &str, addr: u64, data: u64) -> Vec<u8> {
    let word = |value: u64| {
        let bytes = value.to_le_bytes();
        format!(
            "{:02x} {:02x} {:02x} {:02x}",
            bytes[0], bytes[1], bytes[2], bytes[3]
        )
    };
    let len = bytes(&form.replace(['D', 'R'], "0 0 0 0")).len() as u64;
    let distance = data.wrapping_sub(addr + len);
    bytes(&form.replace('D', &word(data)).replace('R', &word(distance)))
}

/// Where the ModRM byte of a call is, if it has one.
fn by_modrm(code: &[u8]) -> Option<usize> {
    let prefixes = [0x2e, 0x3e, 0x41, 0x48, 0x64, 0x65, 0x66, 0x67];
    let opcode = code.iter().position(|byte| !prefixes.contains(byte))?;
    (code[opcode] == 0xff).then_some(opcode + 1)
}

#[test]
fn branches_of_every_form_are_those_of_the_processor() {
    let mut puppet = Puppet::start();
    let mut done = 0;
    let mut refused = Vec::new();
    for (area, seed) in [
        (puppet.low, 1),
        (puppet.low, 2),
        (puppet.high, 3),
        (puppet.high, 4),
    ] {
        let start = branch_start(&mut puppet, area, seed);
        for form in BRANCHES {
            let code = placed(form, area + CODE, area + MIDDLE);
            let mut forms = vec![code.clone()];
            if let Some(at) = by_modrm(&code) {
                // /4 instead of /2.
                forms.push(code);
                forms[1][at] ^= 0x30;
            }
            for code in forms {
                if compare(&mut puppet, &start, &code, Width::Bits64) {
                    done += 1;
                } else if area == puppet.low {
                    refused.push(form);
                }
            }
        }
    }
    // Below 2 GiB, everything that is named is there.
    assert_eq!(refused, [""; 0]);
    assert!(done > 250, "{done}");
}

#[test]
fn branches_that_fault_are_left_to_the_processor() {
    let mut puppet = Puppet::start();
    let area = puppet.high;
    let start = branch_start(&mut puppet, area, 1);
    let end = area + puppet.size;
    let noncanonical = 1 << 47;
    let alignment_check = 1 << 18;
    let table: [(&str, &[(&str, u64)]); 10] = [
        ("e8 00 00 00 00", &[("rsp", area)]),
        ("e8 00 00 00 00", &[("rsp", area + 4)]),
        ("c3", &[("rsp", end)]),
        ("c3", &[("rsp", end - 4)]),
        ("c3", &[("rsp", noncanonical)]),
        ("ff 13", &[("rbx", end)]),
        ("ff 23", &[("rbx", end - 7)]),
        ("ff e3", &[("rbx", noncanonical)]),
        ("ff d3", &[("rbx", noncanonical)]),
        (
            "c3",
            &[("rsp", end - 0x44), ("eflags", FIXED | alignment_check)],
        ),
    ];
    for (form, changes) in table {
        let mut start = start.clone();
        for (name, value) in changes {
            assert!(start.regs.set(name, *value));
        }
        assert!(
            !compare(&mut puppet, &start, &bytes(form), Width::Bits64),
            "{form} {changes:x?}"
        );
    }
}

#[test]
fn instructions_of_32_bit_code() {
    let mut puppet = Puppet::start();
    let area = puppet.low;
    let table = [
        "40",
        "4f",
        "90",
        "89 e5",
        "50",
        "58",
        "60",
        "a1 D",
        "a3 D",
        "8b 05 D",
        "ff 35 D",
        "8b 44 8e 08",
        "f3 a4",
        "c9",
        "c8 10 00 00",
        "37",
        "d5 0a",
        "0f b6 06",
        "a0 D",
        "e8 78 56 34 12",
        "e8 f0 ff ff ff",
        "eb 80",
        "e9 78 56 34 92",
        "c3",
        "c2 10 00",
        "ff d0",
        "ff d4",
        "ff e0",
        "ff 13",
        "ff 14 24",
        "ff 54 24 fc",
        "ff 15 D",
        "ff 25 D",
        "ff 14 8e",
        "2e ff 16",
        "36 ff 16",
        "ff 63 04",
    ];
    for seed in 0..4 {
        let mut start = branch_start(&mut puppet, area, seed);
        narrow(&mut start.regs);
        for form in table {
            let code = placed(form, area + CODE, area + MIDDLE);
            assert!(compare(&mut puppet, &start, &code, Width::Bits32), "{form}");
        }
    }
}

#[test]
fn system_calls_from_a_slot() {
    let mut puppet = Puppet::start();
    for (area, seed) in [(puppet.low, 1), (puppet.high, 2)] {
        let mut start = start(&mut puppet, area, seed);
        for (bytes, getpid) in [([0x0f, 0x05], 39), ([0xcd, 0x80], 20)] {
            assert!(start.regs.set("rax", getpid));
            let reference = called(&mut puppet, &start, &bytes);
            assert_eq!(reference.signal, None);
            let planned = plan(&bytes, area + CODE, area + SLOT, Width::Bits64);
            let Ok(Plan::SystemCall {
                code, next, in_rcx, ..
            }) = planned
            else {
                panic!("{planned:?}");
            };
            assert_eq!(in_rcx, bytes == [0x0f, 0x05]);
            assert_eq!(next, Some(area + CODE + 2));
            let next = next.expect("it returns");
            let outcome = called_from_slot(&mut puppet, &start, &code, next, in_rcx);
            assert_eq!(outcome.regs, reference.regs);
            assert!(outcome == reference);
        }
    }
}

/// What became of the instructions of a file.
fn walk(path: &Path) -> BTreeMap<&'static str, u64> {
    const BASE: u64 = 0x7f12_3456_7000;
    let text = elf::text(path).expect("an ELF file");
    let slot = BASE - 0x10_0000;
    let mut counts = BTreeMap::new();
    let mut decoder = Decoder::with_ip(64, &text.bytes, BASE + text.addr, DecoderOptions::NONE);
    while decoder.can_decode() {
        let at = decoder.position();
        let instruction = decoder.decode();
        let addr = instruction.ip();
        let planned = plan(&text.bytes[at..], addr, slot, Width::Bits64);
        let kind = match planned {
            Err(_) => {
                assert!(instruction.is_invalid(), "{addr:#x}");
                "no instruction"
            }
            Ok(planned) => {
                assert_eq!(usize::from(planned.instruction_len()), instruction.len());
                if let Some(code) = planned.code() {
                    let mut copy = Decoder::with_ip(64, code, slot, DecoderOptions::NONE);
                    // The same operands, those in memory at the same address.
                    assert_eq!(copy.decode(), instruction, "{addr:#x}");
                    assert_eq!(copy.decode().near_branch_target(), instruction.next_ip());
                    assert!(!copy.can_decode() && code.len() <= SLOT_SIZE);
                }
                match planned {
                    Plan::Copy {
                        adjusted: false, ..
                    } => "copied",
                    Plan::Copy { adjusted: true, .. } => "adjusted",
                    Plan::Emulate(_) => "emulated",
                    Plan::SystemCall { .. } => "system call",
                    Plan::Trap { .. } => "trap",
                    Plan::InPlace { .. } => "in place",
                }
            }
        };
        *counts.entry(kind).or_default() += 1;
    }
    counts
}

#[test]
fn all_code_of_libc_has_a_plan() {
    let maps = fs::read_to_string("/proc/self/maps").expect("our own");
    let libc = maps
        .split_whitespace()
        .find(|word| word.contains("/libc.so"))
        .expect("linked to it");
    let counts = walk(Path::new(libc));
    let all: u64 = counts.values().sum();
    for (kind, count) in &counts {
        println!(
            "{kind}: {count} of {all}, {}.{:03} %",
            count * 100 / all,
            count * 100_000 / all % 1000
        );
    }
    assert!(all > 100_000, "{counts:?}");
    // Data between functions, and code that nobody runs.
    let rest = counts.get("no instruction").unwrap_or(&0) + counts.get("in place").unwrap_or(&0);
    assert!(rest * 1000 < all, "{counts:?}");
}
