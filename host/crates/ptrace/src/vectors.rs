//! Registers by name in an XSAVE area of the standard form (Intel SDM volume 1,
//! 13.4 and 13.5).

use std::arch::x86_64::__cpuid_count;
use std::ops::Range;

/// Where XSTATE_BV is: the parts that are not in their initial state.
const XSTATE_BV: usize = 512;

// Numbers of the parts.
const X87: u32 = 0;
const SSE: u32 = 1;
const AVX: u32 = 2;
const OPMASK: u32 = 5;
const ZMM_HIGH: u32 = 6;
const ZMM_16_TO_31: u32 = 7;

/// A piece of a register: the part that it is in, and the bytes of the area.
struct Piece {
    part: u32,
    bytes: Range<usize>,
}

/// A register of the extended state: `xmm0` to `xmm31`, `ymm…`, `zmm…`, `k0` to
/// `k7`, `st0` to `st7`, `mxcsr`. `None` for one that the area does not have.
pub fn vector(area: &[u8], name: &str) -> Option<Vec<u8>> {
    let mut value = Vec::new();
    for piece in pieces(name)? {
        value.extend_from_slice(area.get(piece.bytes)?);
    }
    Some(value)
}

/// Sets such a register; false, and nothing is done, when there is none of that
/// name and size.
#[must_use]
pub fn set_vector(area: &mut [u8], name: &str, value: &[u8]) -> bool {
    let Some(pieces) = pieces(name) else {
        return false;
    };
    let size: usize = pieces.iter().map(|piece| piece.bytes.len()).sum();
    let whole = |piece: &Piece| piece.bytes.end <= area.len();
    if size != value.len() || !pieces.iter().all(whole) || area.len() < XSTATE_BV + 8 {
        return false;
    }
    let mut rest = value;
    for piece in pieces {
        let (now, later) = rest.split_at(piece.bytes.len());
        area[piece.bytes].copy_from_slice(now);
        rest = later;
        let byte = XSTATE_BV + piece.part as usize / 8;
        area[byte] |= 1 << (piece.part % 8);
    }
    true
}

/// Where a part is in the area (CPUID leaf 0DH); `None` when this processor does
/// not have it.
fn part(number: u32) -> Option<usize> {
    const LEAF: u32 = 0xd;
    let leaf = __cpuid_count(LEAF, number);
    (leaf.eax != 0).then_some(leaf.ebx as usize)
}

fn pieces(name: &str) -> Option<Vec<Piece>> {
    if name == "mxcsr" {
        return Some(vec![Piece {
            part: SSE,
            bytes: 24..28,
        }]);
    }
    let digits = name.find(|c: char| c.is_ascii_digit())?;
    let (kind, number) = name.split_at(digits);
    if number.len() > 1 && number.starts_with('0') {
        return None;
    }
    let number: usize = number.parse().ok()?;
    let slice = |part, base: usize, stride: usize, len: usize, index: usize| Piece {
        part,
        bytes: base + stride * index..base + stride * index + len,
    };
    Some(match (kind, number) {
        ("st", 0..8) => vec![slice(X87, 32, 16, 10, number)],
        ("k", 0..8) => vec![slice(OPMASK, part(OPMASK)?, 8, 8, number)],
        ("xmm" | "ymm" | "zmm", 0..16) => {
            let mut all = vec![slice(SSE, 160, 16, 16, number)];
            if kind != "xmm" {
                all.push(slice(AVX, part(AVX)?, 16, 16, number));
            }
            if kind == "zmm" {
                all.push(slice(ZMM_HIGH, part(ZMM_HIGH)?, 32, 32, number));
            }
            all
        }
        ("xmm" | "ymm" | "zmm", 16..32) => {
            let len = match kind {
                "xmm" => 16,
                "ymm" => 32,
                _ => 64,
            };
            let base = part(ZMM_16_TO_31)?;
            vec![slice(ZMM_16_TO_31, base, 64, len, number - 16)]
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut area = vec![0; 4096];
        let value: Vec<u8> = (1..=16).collect();
        assert!(set_vector(&mut area, "xmm3", &value));
        assert_eq!(vector(&area, "xmm3"), Some(value.clone()));
        assert_eq!(area[160 + 48..160 + 64], value);
        assert_eq!(area[XSTATE_BV], 1 << SSE);
        assert!(set_vector(&mut area, "st7", &[7; 10]));
        assert_eq!(vector(&area, "st7"), Some(vec![7; 10]));
        assert!(set_vector(&mut area, "mxcsr", &[0x80, 0x1f, 0, 0]));
        if part(AVX).is_some() {
            let wide: Vec<u8> = (0..32).collect();
            assert!(set_vector(&mut area, "ymm3", &wide));
            assert_eq!(vector(&area, "xmm3"), Some(wide[..16].to_vec()));
            assert_eq!(vector(&area, "ymm3"), Some(wide));
        }
        for name in ["xmm32", "xmm", "xmm01", "st8", "k8", "ymm-1", "rax", ""] {
            assert_eq!(vector(&area, name), None, "{name}");
        }
        assert!(!set_vector(&mut area, "xmm0", &[0; 15]));
        assert!(!set_vector(&mut area[..100], "xmm0", &[0; 16]));
    }
}
