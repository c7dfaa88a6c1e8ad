//! Who called whom, with names, as bytes.

use alloc::vec::Vec;

/// One function that a task is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The instruction that is executed next there.
    pub addr: u64,
    /// Where in the file that is.
    pub in_file: u64,
    /// Bytes from the beginning of the function.
    pub offset: u64,
    /// The file, as /proc/PID/maps has it; empty where none is mapped.
    pub file: &'a [u8],
    /// The function, as it is in the source; empty where none is known.
    pub symbol: &'a [u8],
}

/// No name is longer: what is behind is cut off.
const MOST: usize = 4096;

/// Appends the encoding of a frame: its three numbers (8 bytes each), then the lengths
/// (2 bytes each) of its two names, and these. All numbers are in little-endian order.
pub fn encode(out: &mut Vec<u8>, frame: &Frame<'_>) {
    for number in [frame.addr, frame.in_file, frame.offset] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    let names = [frame.file, frame.symbol].map(|name| &name[..name.len().min(MOST)]);
    for name in names {
        let len = u16::try_from(name.len()).unwrap_or(0);
        out.extend_from_slice(&len.to_le_bytes());
    }
    for name in names {
        out.extend_from_slice(name);
    }
}

/// The frames, innermost first; what is damaged ends the list.
pub fn decode(bytes: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    let mut rest = bytes;
    core::iter::from_fn(move || {
        let addr = number(&mut rest)?;
        let in_file = number(&mut rest)?;
        let offset = number(&mut rest)?;
        let file = len(&mut rest)?;
        let symbol = len(&mut rest)?;
        Some(Frame {
            addr,
            in_file,
            offset,
            file: take(&mut rest, file)?,
            symbol: take(&mut rest, symbol)?,
        })
    })
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(len)?;
    *rest = after;
    Some(taken)
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    take(rest, 8)?.try_into().ok().map(u64::from_le_bytes)
}

fn len(rest: &mut &[u8]) -> Option<usize> {
    let bytes = take(rest, 2)?.try_into().ok()?;
    Some(u16::from_le_bytes(bytes).into())
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn frames_are_what_they_were() {
        let long = vec![b'x'; MOST + 1];
        let frames = [
            Frame {
                addr: 0x7f00_0000_1234,
                in_file: 0x1234,
                offset: 7,
                file: b"/lib/libc.so.6",
                symbol: b"read",
            },
            Frame {
                addr: 1,
                in_file: 2,
                offset: 3,
                file: b"",
                symbol: &long,
            },
        ];
        let mut bytes = Vec::new();
        for frame in &frames {
            encode(&mut bytes, frame);
        }
        let cut = Frame {
            symbol: &long[..MOST],
            ..frames[1]
        };
        assert!(decode(&bytes).eq([frames[0], cut]));
        let first = 28 + frames[0].file.len() + frames[0].symbol.len();
        for len in 0..bytes.len() {
            assert_eq!(decode(&bytes[..len]).count(), usize::from(len >= first));
        }
    }
}
