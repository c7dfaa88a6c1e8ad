//! What a target says is believed nowhere: no registers and no memory make decoding
//! fail.

use pai_syscalls::abi;
use pai_syscalls::decode::text::Style;
use pai_syscalls::decode::{self, Captured, Limits, When, captured};

/// Numbers that look random (xorshift, by George Marsaglia).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// One that may be a length, a flag, a command or a pointer to what is known.
    fn likely(&mut self) -> u64 {
        match self.below(8) {
            0 => 0,
            1 => u64::MAX,
            2 => self.below(64),
            3 => 0x4200 + self.below(16),
            4 | 5 => PLACE + 8 * self.below(512),
            6 => self.next() & 0xffff_ffff,
            _ => self.next(),
        }
    }

    fn memory(&mut self) -> Vec<u8> {
        let len = self.below(5000);
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < len {
            let number = self.likely().to_le_bytes();
            let width = if self.below(2) == 0 { 4 } else { 8 };
            bytes.extend_from_slice(&number[..width]);
        }
        bytes
    }
}

const PLACE: u64 = 0x1000;

#[test]
fn no_memory_and_no_registers_are_too_strange() {
    let mut numbers = Numbers(88_172_645_463_325_252);
    for round in 0..20 {
        for (abi, number) in [abi::X86_64, abi::I386, abi::AARCH64]
            .into_iter()
            .flat_map(|abi| (0..480).map(move |number| (abi, number)))
        {
            let Some(call) = decode::describe(abi, number) else {
                continue;
            };
            let mut bytes = Vec::new();
            captured::encode(&mut bytes, When::Enter, PLACE, &numbers.memory());
            captured::encode(&mut bytes, When::Exit, PLACE, &numbers.memory());
            let top = PLACE + numbers.below(64);
            captured::encode(&mut bytes, When::Enter, captured::STACK, &top.to_le_bytes());
            let known = Captured::decode(&bytes);
            let args = [(); 6].map(|()| numbers.likely());
            let limits = Limits {
                items: if round % 2 == 0 { Limits::ALL } else { 32 },
                ..Limits::default()
            };
            let some = numbers.below(4000).cast_signed();
            let any = numbers.next().cast_signed();
            for ret in [None, Some(0), Some(some), Some(-7), Some(any)] {
                decode::wants(call, abi, args, ret, limits, &known, &mut Vec::new());
                let decoded = decode::decode(call, abi, args, ret, limits, &known);
                for verbose in [false, true] {
                    let style = Style {
                        verbose,
                        ..Style::default()
                    };
                    let mut out = Vec::new();
                    style.push_arguments(&mut out, &decoded, 0..decoded.args.len());
                    style.push_result(&mut out, &decoded, ret.unwrap_or(0));
                }
            }
        }
    }
}
