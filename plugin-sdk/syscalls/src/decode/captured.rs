//! Memory of a target as it was at the entry and at the exit of a call.

use alloc::vec::Vec;

use super::descriptor::Descriptor;

/// When something was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum When {
    /// When the call was made.
    #[default]
    Enter,
    /// When it had returned.
    Exit,
}

/// One piece of it.
#[derive(Clone, Copy, Debug)]
struct Piece<'a> {
    when: When,
    addr: u64,
    bytes: &'a [u8],
}

/// Pieces of memory.
///
/// # Encoding
/// Each piece is its address and time (8 bytes; the highest bit is set for one of the
/// exit: no address in user space has it), its length (4 bytes) and its bytes, all
/// numbers in little-endian order. With the next bit set it is a descriptor, and the
/// bytes are those of [`Descriptor`]; with bit 32 set too it is the stack of the task, whose
/// bytes are those of [`super::stack`], with bit 33 a task, whose name they are, and with
/// bit 34 the bytes are an address: what is there was left out, or, if all its bits are
/// set, whatever is not here was. What is damaged counts as not there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Captured<'a> {
    data: &'a [u8],
}

const AT_EXIT: u64 = 1 << 63;
/// No program has memory there: it is something else.
const SPECIAL: u64 = 1 << 62;
const DESCRIPTOR: u64 = SPECIAL;
const TASK: u64 = SPECIAL | 1 << 33;
const CUT: u64 = SPECIAL | 1 << 34;
/// Whatever is not here was left out.
const ALL: u64 = u64::MAX;

/// Appends what a descriptor refers to, in the encoding of [`Descriptor`].
pub fn encode_descriptor(out: &mut Vec<u8>, when: When, fd: i32, encoded: &[u8]) {
    encode(
        out,
        when,
        DESCRIPTOR | u64::from(fd.cast_unsigned()),
        encoded,
    );
}

/// Appends the name of a task.
pub fn encode_task(out: &mut Vec<u8>, when: When, task: i32, name: &[u8]) {
    encode(out, when, TASK | u64::from(task.cast_unsigned()), name);
}

/// Stands for the register with the stack pointer, whose eight bytes are a piece as those
/// of memory are.
pub const STACK: u64 = SPECIAL;

/// Stands for the stack of the task: its frames, in the encoding of [`super::stack`].
pub const FRAMES: u64 = SPECIAL | 1 << 32;

/// Appends the encoding of a piece.
pub fn encode(out: &mut Vec<u8>, when: When, addr: u64, bytes: &[u8]) {
    let mark = match when {
        When::Enter => 0,
        When::Exit => AT_EXIT,
    };
    // Pieces are a few kilobytes at most.
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&(addr & !AT_EXIT | mark).to_le_bytes());
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&bytes[..len as usize]);
}

/// Appends as much of a piece as there is room for, if no more than `most` bytes are to be
/// there together, and says what was left out. Returns whether all of it was appended.
pub fn encode_up_to(out: &mut Vec<u8>, when: When, addr: u64, bytes: &[u8], most: usize) -> bool {
    const HEADER: usize = 12;
    let room = most.saturating_sub(out.len() + HEADER).min(bytes.len());
    encode(out, when, addr, &bytes[..room]);
    if room < bytes.len() {
        let next = addr.wrapping_add(room as u64);
        encode(out, when, CUT, &next.to_le_bytes());
    }
    room == bytes.len()
}

/// Says that whatever is not here was left out.
pub fn encode_left_out(out: &mut Vec<u8>, when: When) {
    encode(out, when, CUT, &ALL.to_le_bytes());
}

/// Takes out what was read of texts that are longer, at this time: of each want the start
/// is to be read once more.
pub fn forget_starts(out: &mut Vec<u8>, when: When, wants: &[super::Want]) {
    let again = |piece: &Piece<'_>| {
        let is_start = |want: &super::Want| {
            want.text && want.addr == piece.addr && want.len > piece.bytes.len()
        };
        piece.when == when && !piece.bytes.contains(&0) && wants.iter().any(is_start)
    };
    let is_text = wants.iter().any(|want| want.text);
    if !is_text || !Captured::decode(out).pieces().any(|piece| again(&piece)) {
        return;
    }
    let old = core::mem::take(out);
    for piece in Captured::decode(&old).pieces() {
        if !again(&piece) {
            encode(out, piece.when, piece.addr, piece.bytes);
        }
    }
}

/// Reads one piece after the other.
struct Pieces<'a> {
    data: &'a [u8],
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let (addr, rest) = self.data.split_first_chunk()?;
        let (len, rest) = rest.split_first_chunk()?;
        let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
        let (bytes, rest) = rest.split_at_checked(len)?;
        self.data = rest;
        let addr = u64::from_le_bytes(*addr);
        let when = if addr & AT_EXIT == 0 {
            When::Enter
        } else {
            When::Exit
        };
        let addr = addr & !AT_EXIT;
        Some(Piece { when, addr, bytes })
    }
}

/// Cuts what was read of memory at this time to the length that `known` gives, of its
/// address and its bytes.
pub fn cut(out: &mut Vec<u8>, when: When, mut known: impl FnMut(u64, &[u8]) -> usize) {
    let old = core::mem::take(out);
    for piece in Captured::decode(&old).pieces() {
        let is_memory = piece.addr & SPECIAL == 0;
        let len = match is_memory && piece.when == when {
            true => known(piece.addr, piece.bytes),
            false => piece.bytes.len(),
        };
        let bytes = piece.bytes.get(..len).unwrap_or(piece.bytes);
        encode(out, piece.when, piece.addr, bytes);
    }
}

impl<'a> Captured<'a> {
    /// From their encoding.
    #[must_use]
    pub fn decode(data: &'a [u8]) -> Self {
        Self { data }
    }

    /// What a descriptor referred to: when the call was made, or when it was last looked
    /// at, which is at the exit for one that the call has made.
    #[must_use]
    pub fn descriptor(&self, fd: i32, when: When) -> Option<Descriptor<'a>> {
        let addr = DESCRIPTOR | u64::from(fd.cast_unsigned());
        let of_this = self.pieces().filter(|piece| piece.addr == addr);
        let of_then = of_this.filter(|piece| piece.when <= when);
        of_then.last().map(|piece| Descriptor::decode(piece.bytes))
    }

    /// The name of a task, when it was first looked at.
    #[must_use]
    pub fn task(&self, task: i32) -> Option<&'a [u8]> {
        self.names_of(task).next()
    }

    /// The same, when it was last looked at: an exec changes it.
    #[must_use]
    pub fn task_after(&self, task: i32) -> Option<&'a [u8]> {
        self.names_of(task).last()
    }

    fn names_of(&self, task: i32) -> impl Iterator<Item = &'a [u8]> {
        let addr = TASK | u64::from(task.cast_unsigned());
        let names = self.pieces().filter(move |piece| piece.addr == addr);
        names.map(|piece| piece.bytes)
    }

    /// The frames of the task, if they were wanted: see [`super::stack`].
    #[must_use]
    pub fn frames(&self) -> Option<&'a [u8]> {
        let found = self.pieces().find(|piece| piece.addr == FRAMES)?;
        Some(found.bytes)
    }

    /// Whether what was behind so many bytes from an address at that time was left out,
    /// because there was no room for it.
    #[must_use]
    pub fn is_cut(&self, when: When, addr: u64, known: usize) -> bool {
        let marks = || {
            let of_cuts = |piece: &Piece<'_>| piece.addr == CUT && piece.when == when;
            let number = |piece: Piece<'_>| Some(u64::from_le_bytes(piece.bytes.try_into().ok()?));
            self.pieces().filter(of_cuts).filter_map(number)
        };
        let next = addr.wrapping_add(known as u64);
        if marks().any(|at| at == next) {
            return true;
        }
        // What cannot be read is a piece of no bytes.
        let is_here = |piece: Piece<'_>| piece.when == when && piece.addr == addr;
        known == 0 && marks().any(|at| at == ALL) && !self.pieces().any(is_here)
    }

    /// What is known to have been at an address at that time: at most `len` bytes.
    #[must_use]
    pub fn get(&self, when: When, addr: u64, len: usize) -> &'a [u8] {
        let mut best: &[u8] = &[];
        for piece in self.pieces().filter(|piece| piece.when == when) {
            let Some(offset) = addr.checked_sub(piece.addr) else {
                continue;
            };
            let from = usize::try_from(offset).unwrap_or(usize::MAX);
            if let Some(bytes) = piece.bytes.get(from..) {
                let bytes = &bytes[..bytes.len().min(len)];
                if bytes.len() > best.len() {
                    best = bytes;
                }
                if best.len() == len {
                    break;
                }
            }
        }
        best
    }

    fn pieces(&self) -> Pieces<'a> {
        Pieces { data: self.data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_no_room_for_is_marked() {
        let mut out = Vec::new();
        assert!(encode_up_to(&mut out, When::Enter, 0x1000, b"abcd", 40));
        assert!(!encode_up_to(&mut out, When::Enter, 0x2000, &[7; 100], 40));
        encode_left_out(&mut out, When::Enter);
        let captured = Captured::decode(&out);
        assert_eq!(captured.get(When::Enter, 0x1000, 9), b"abcd");
        assert!(!captured.is_cut(When::Enter, 0x1000, 4));
        assert_eq!(captured.get(When::Enter, 0x2000, 100), &[7; 12]);
        assert!(captured.is_cut(When::Enter, 0x2000, 12));
        assert!(captured.is_cut(When::Enter, 0x3000, 0));
        assert!(!captured.is_cut(When::Exit, 0x3000, 0));
    }
}
