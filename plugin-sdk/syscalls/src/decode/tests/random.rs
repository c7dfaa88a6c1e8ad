//! Registers and memory of any kind: nothing panics, and what comes out is bounded.

use std::vec::Vec;

use crate::abi;
use crate::decode::captured::{self, When};
use crate::decode::schema::Call;
use crate::decode::text::{Hex, Names, Style};
use crate::decode::{Captured, Limits, Want, decode, index, ioctl, plan};

/// splitmix64, by Sebastiano Vigna.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// A number as those that arguments and memory have.
    fn number(&mut self) -> u64 {
        let value = self.next();
        match self.below(8) {
            0 => value,
            1 => value % 4,
            2 | 3 => value % 64,
            4 => (value % 4096).wrapping_neg(),
            5 => 1 << (value % 64),
            6 => 0x7f00_0000_0000 | value & 0xffff_fff8,
            _ => [0, u64::MAX, 0xffff_ffff, 0x8000_0000, u64::MAX >> 1][value as usize % 5],
        }
    }

    /// Up to so many bytes of memory, of one kind.
    fn memory(&mut self, len: usize) -> Vec<u8> {
        let len = match self.below(8) {
            0 => 0,
            1 => self.below(len as u64 + 1) as usize,
            _ => len,
        };
        let kind = self.below(6);
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            let word = match kind {
                0 => 0,
                1 => u64::MAX,
                2 => self.next(),
                3 => self.next() & 0x7f7f_7f7f_7f7f_7f7f | 0x2020_2020_2020_2020,
                4 => self.below(16) | self.below(16) << 32,
                _ => self.number(),
            };
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }
}

/// As often as usual, or so many times as often as PAI_RANDOM_TURNS says.
fn turns(usual: usize) -> usize {
    let times = std::env::var("PAI_RANDOM_TURNS").map_or(1, |times| {
        times.parse().expect("PAI_RANDOM_TURNS is a number")
    });
    usual * times
}

/// What the host reads at most for a call; more than that is left out.
const MAX_CAPTURED: usize = 1 << 18;
/// How often it asks what to read.
const MAX_ROUNDS: usize = 16;
/// More text than this is a mistake.
const MAX_TEXT: usize = 1 << 20;

/// Reads what is wanted at a stop, which is whatever comes out of `random`.
fn capture(
    call: &'static Call,
    abi: u32,
    registers: [u64; 6],
    ret: Option<i64>,
    random: &mut Random,
    captured: &mut Vec<u8>,
) {
    let when = if ret.is_some() {
        When::Exit
    } else {
        When::Enter
    };
    let mut asked: Vec<Want> = Vec::new();
    for _ in 0..MAX_ROUNDS {
        let first = asked.len();
        let known = Captured::decode(captured);
        plan::walk(
            call,
            abi,
            registers,
            ret,
            Limits::default(),
            &known,
            &mut asked,
        );
        if asked.len() == first {
            break;
        }
        assert!(call.reads.at(when), "{} at its {when:?}", call.name);
        for want in &asked[first..] {
            assert!(want.len <= 1 << 16, "{}: {want:?}", call.name);
            let bytes = random.memory(want.len);
            if captured.len() + bytes.len() <= MAX_CAPTURED {
                captured::encode(captured, when, want.addr, &bytes);
            }
        }
    }
    assert!(
        asked.len() <= plan::MAX_WANTS,
        "{}: {} wants",
        call.name,
        asked.len()
    );
}

const STYLES: [Style<'static>; 3] = [
    Style {
        verbose: false,
        hex: Hex::No,
        names: Names::Abbrev,
        argument_names: false,
        interface: None,
        descriptors: None,
        when: When::Enter,
        task: None,
    },
    Style {
        verbose: true,
        hex: Hex::Odd,
        names: Names::Verbose,
        argument_names: false,
        interface: None,
        descriptors: None,
        when: When::Enter,
        task: None,
    },
    Style {
        verbose: true,
        hex: Hex::All,
        names: Names::Raw,
        argument_names: false,
        interface: None,
        descriptors: None,
        when: When::Enter,
        task: None,
    },
];

fn show(
    call: &'static Call,
    abi: u32,
    registers: [u64; 6],
    ret: Option<i64>,
    captured: &[u8],
) -> usize {
    let captured = Captured::decode(captured);
    let decoded = decode(call, abi, registers, ret, Limits::default(), &captured);
    assert!(decoded.args.len() <= 6, "{}", call.name);
    let mut longest = 0;
    for style in STYLES {
        let mut out = Vec::new();
        style.push_arguments(&mut out, &decoded, 0..decoded.args.len());
        if let Some(ret) = ret {
            style.push_result(&mut out, &decoded, ret);
        }
        longest = longest.max(out.len());
    }
    assert!(longest <= MAX_TEXT, "{}: {longest} bytes", call.name);
    longest
}

/// Returns how much text it is at the exit.
fn once(call: &'static Call, abi: u32, registers: [u64; 6], random: &mut Random) -> usize {
    let mut captured = Vec::new();
    capture(call, abi, registers, None, random, &mut captured);
    show(call, abi, registers, None, &captured);
    let ret = match random.below(4) {
        0 => -(random.below(530).cast_signed()) - 1,
        1 => 0,
        _ => random.number().cast_signed(),
    };
    capture(call, abi, registers, Some(ret), random, &mut captured);
    // What is known at the exit without what was known at the entry.
    show(call, abi, registers, Some(ret), &[]);
    show(call, abi, registers, Some(ret), &captured)
}

const ABIS: [u32; 4] = [abi::X86_64, abi::I386, abi::AARCH64, 0];

#[test]
fn any_call() {
    let mut random = Random(1);
    for call in index::all() {
        for turn in 0..turns(96) {
            let abi = ABIS[turn % ABIS.len()];
            let registers = [0; 6].map(|_| random.number());
            once(call, abi, registers, &mut random);
        }
    }
}

/// Calls that are several: all that a small number in a register may choose.
#[test]
fn any_command() {
    let mut random = Random(2);
    for call in index::all().iter().filter(|call| call.pick.is_some()) {
        for command in 0..64 {
            for turn in 0..turns(40) {
                let mut registers = [0; 6].map(|_| random.number());
                registers[turn % 2] = command;
                once(call, ABIS[turn % 3], registers, &mut random);
            }
        }
    }
}

#[test]
fn any_request() {
    let mut random = Random(3);
    let mut longest = 0;
    let call = index::find("ioctl").expect("a description");
    for request in ioctl::numbers() {
        for turn in 0..turns(16) {
            let arg = 0x7fff_0000_0000 | random.below(1 << 31);
            let registers = [random.number(), request.into(), arg, 0, 0, 0];
            longest = longest.max(once(call, ABIS[turn % 3], registers, &mut random));
        }
    }
    // Memory does get there.
    assert!(longest > 500, "{longest}");
}

/// Messages that all have the same pieces, and these the same bytes: 2000 times 2000
/// of them, from no more than 160 kB.
#[test]
fn arrays_of_the_same_array() {
    const COUNT: u64 = 2000;
    const HEADERS: u64 = 0x10_0000;
    const PIECES: u64 = 0x20_0000;
    const BYTES: u64 = 0x30_0000;
    let pieces = |words: &[u64]| -> Vec<u8> {
        let one: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        one.repeat(usize::try_from(COUNT).expect("a small number"))
    };
    let mut captured = Vec::new();
    // Of struct mmsghdr: name, its length, pieces, their number, control, its length,
    // flags, length.
    let headers = pieces(&[0, 0, PIECES, COUNT, 0, 0, 0, 0]);
    captured::encode(&mut captured, When::Enter, HEADERS, &headers);
    captured::encode(&mut captured, When::Enter, PIECES, &pieces(&[BYTES, 8]));
    captured::encode(&mut captured, When::Enter, BYTES, b"eight by");
    let captured = Captured::decode(&captured);
    let call = index::find("sendmmsg").expect("a description");
    let registers = [3, HEADERS, COUNT, 0, 0, 0];
    let limits = Limits {
        items: Limits::ALL,
        ..Limits::default()
    };
    let decoded = decode(call, abi::X86_64, registers, None, limits, &captured);
    let mut out = Vec::new();
    STYLES[1].push_arguments(&mut out, &decoded, 0..decoded.args.len());
    assert!(out.len() > 1 << 20, "{} bytes", out.len());
    assert!(out.len() < 8 << 20, "{} bytes", out.len());
}

/// Pieces that all have the same bytes, as many as are shown.
#[test]
fn arrays_of_the_same_bytes() {
    const COUNT: usize = 4096;
    const PIECES: u64 = 0x20_0000;
    const BYTES: u64 = 0x30_0000;
    let piece: Vec<u8> = [BYTES, 4096]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect();
    let mut captured = Vec::new();
    captured::encode(&mut captured, When::Enter, PIECES, &piece.repeat(COUNT));
    captured::encode(&mut captured, When::Enter, BYTES, &[b'x'; 4096]);
    let captured = Captured::decode(&captured);
    let call = index::find("writev").expect("a description");
    let registers = [3, PIECES, COUNT as u64, 0, 0, 0];
    let limits = Limits {
        text: 4096,
        items: Limits::ALL,
        ..Limits::default()
    };
    let decoded = decode(call, abi::X86_64, registers, None, limits, &captured);
    let mut out = Vec::new();
    STYLES[0].push_arguments(&mut out, &decoded, 0..decoded.args.len());
    let shown = out.iter().filter(|byte| **byte == b'x').count();
    assert!((1 << 20..2 << 20).contains(&shown), "{shown} bytes");
}
