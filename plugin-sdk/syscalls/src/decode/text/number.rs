//! Numbers, without `fmt`: these run many times for every call.

use alloc::vec::Vec;

/// `0x1f`
pub fn push_hex(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(b"0x");
    let digits = (u64::BITS - value.leading_zeros()).div_ceil(4).max(1);
    for place in (0..digits).rev() {
        let digit = (value >> (4 * place)) & 0xf;
        out.push(b"0123456789abcdef"[digit as usize]);
    }
}

/// `017`, and `0`
pub fn push_octal(out: &mut Vec<u8>, value: u64) {
    out.push(b'0');
    let digits = (u64::BITS - value.leading_zeros()).div_ceil(3);
    for place in (0..digits).rev() {
        out.push(b'0' + ((value >> (3 * place)) & 7) as u8);
    }
}

/// `-12`
pub fn push_decimal(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    push_unsigned(out, value.unsigned_abs());
}

pub(crate) fn push_unsigned(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[first..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::ToString;

    #[test]
    fn numbers_of_all_sizes() {
        for value in [0, 1, -1, 10, 4096, i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            push_decimal(&mut out, value);
            assert_eq!(out, value.to_string().into_bytes());
        }
        for value in [0, 1, 15, 16, 0x1000, u64::MAX] {
            let mut out = Vec::new();
            push_hex(&mut out, value);
            assert_eq!(out, format!("{value:#x}").into_bytes());
        }
    }
}
