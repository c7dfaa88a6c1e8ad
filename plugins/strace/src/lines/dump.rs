//! Bytes in hexadecimal digits and as letters (`-e read=`, `-e write=`).

use pai_plugin::decode::{Captured, Limits, Value, When};
use pai_plugin::{Call, RecordFlags};
use pai_syscalls::abi::I386;

use crate::settings::Settings;

/// What the second argument of a call leads to, and with it to bytes.
#[derive(Clone, Copy)]
enum Place {
    /// Them.
    Buffer,
    /// `struct iovec[]`
    Pieces,
    /// `struct msghdr`
    Message,
    /// `struct mmsghdr[]`
    Messages,
}

/// Where these calls have bytes, and whether they read them.
fn place(name: &str) -> Option<(Place, bool)> {
    Some(match name {
        "read" | "pread64" | "recv" | "recvfrom" | "mq_timedreceive" | "mq_timedreceive_time64" => {
            (Place::Buffer, true)
        }
        "write" | "pwrite64" | "send" | "sendto" | "mq_timedsend" | "mq_timedsend_time64" => {
            (Place::Buffer, false)
        }
        "readv" | "preadv" | "preadv2" => (Place::Pieces, true),
        "writev" | "pwritev" | "pwritev2" | "vmsplice" => (Place::Pieces, false),
        "recvmsg" => (Place::Message, true),
        "sendmsg" => (Place::Message, false),
        "recvmmsg" | "recvmmsg_time64" => (Place::Messages, true),
        "sendmmsg" => (Place::Messages, false),
        _ => return None,
    })
}

/// The bytes that went through a descriptor, or that should have, if they are wanted.
pub(super) fn push(out: &mut Vec<u8>, call: &Call<'_>, settings: &Settings) {
    let wants_none = settings.reads.is_none() && settings.writes.is_none();
    if wants_none || call.record_flags.contains(RecordFlags::NO_RETURN) {
        return;
    }
    // What arguments lead to is looked up below.
    let Some(decoded) = call.decode(Limits::NONE) else {
        return;
    };
    let Some((place, incoming)) = place(decoded.call.name) else {
        return;
    };
    let [first, second, rest @ ..] = decoded.args.as_slice() else {
        return;
    };
    let third = rest.first().map_or(0, |arg| arg.raw);
    let wanted = if incoming {
        &settings.reads
    } else {
        &settings.writes
    };
    let done = u64::try_from(call.ret).unwrap_or(0);
    if !matches!(first.value, Value::Fd(fd) if wanted.has(fd)) || incoming && done == 0 {
        return;
    }
    let mut dump = Dump {
        out,
        captured: Captured::decode(call.captured),
        when: if incoming { When::Exit } else { When::Enter },
        word: if call.call.abi == I386 { 4 } else { 8 },
    };
    // Of what is written all shows, be it that less was.
    let most = if incoming { done } else { u64::MAX };
    match place {
        Place::Buffer => dump.buffer(second.raw, third.min(most)),
        Place::Pieces => dump.pieces(second.raw, third, most),
        Place::Message => dump.message(second.raw, most),
        Place::Messages => dump.messages(second.raw, third.min(done), incoming),
    }
}

/// Writes what was captured of one call.
struct Dump<'o, 'c> {
    out: &'o mut Vec<u8>,
    captured: Captured<'c>,
    when: When,
    /// The size of a pointer.
    word: usize,
}

impl Dump<'_, '_> {
    /// A number of the size of a pointer.
    fn word(&self, addr: u64) -> Option<u64> {
        self.number(addr, self.word)
    }

    fn number(&self, addr: u64, size: usize) -> Option<u64> {
        // Structures that only go in are not read again.
        let other = match self.when {
            When::Exit => When::Enter,
            When::Enter => When::Exit,
        };
        let read = |when| self.captured.get(when, addr, size);
        let bytes = [read(self.when), read(other)];
        let bytes = bytes.into_iter().find(|bytes| bytes.len() == size)?;
        let mut number = [0; 8];
        number.get_mut(..size)?.copy_from_slice(bytes);
        Some(u64::from_le_bytes(number))
    }

    fn buffer(&mut self, addr: u64, len: u64) {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let bytes = self.captured.get(self.when, addr, len);
        let is_cut =
            bytes.len() > Limits::MOST_TEXT || self.captured.is_cut(self.when, addr, bytes.len());
        if bytes.len() < len && !is_cut {
            // Not all of it can be read.
            return;
        }
        push_lines(self.out, bytes);
        if bytes.len() < len {
            let shown = bytes.len();
            self.line(&format!(" * {shown} of {len} bytes, no more is read\n"));
        }
    }

    /// Up to the first that is empty, as strace does.
    fn pieces(&mut self, addr: u64, count: u64, mut left: u64) {
        let word = self.word as u64;
        for index in 0..count {
            let piece = addr.wrapping_add(index.saturating_mul(2 * word));
            let (base, len) = (self.word(piece), self.word(piece.wrapping_add(word)));
            let (Some(base), Some(len)) = (base, len) else {
                return;
            };
            let len = len.min(left);
            if len == 0 {
                return;
            }
            left -= len;
            self.line(&format!(" * {len} bytes in buffer {index}\n"));
            self.buffer(base, len);
        }
    }

    /// Where the pieces of a message are, and how many.
    fn pieces_of(&self, message: u64) -> Option<(u64, u64)> {
        // Behind the address and its length.
        let pieces = message.wrapping_add(2 * self.word as u64);
        let count = pieces.wrapping_add(self.word as u64);
        Some((self.word(pieces)?, self.word(count)?))
    }

    fn message(&mut self, message: u64, most: u64) {
        if let Some((pieces, count)) = self.pieces_of(message) {
            self.pieces(pieces, count, most);
        }
    }

    fn messages(&mut self, addr: u64, count: u64, incoming: bool) {
        // The header, and behind it how many bytes there were, aligned.
        let header = 7 * self.word as u64;
        for index in 0..count {
            let message = addr.wrapping_add(index.saturating_mul(header + self.word as u64));
            let Some((pieces, count)) = self.pieces_of(message) else {
                return;
            };
            let done = match incoming {
                true => self.number(message.wrapping_add(header), 4),
                false => Some(u64::MAX),
            };
            self.line(&format!(" = {count} buffers in vector {index}\n"));
            self.pieces(pieces, count, done.unwrap_or(0));
        }
    }

    fn line(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }
}

/// In lines of sixteen.
fn push_lines(out: &mut Vec<u8>, bytes: &[u8]) {
    for (row, part) in bytes.chunks(16).enumerate() {
        let mut digits = String::new();
        for (index, byte) in part.iter().enumerate() {
            let gap = if index == 8 { " " } else { "" };
            digits.push_str(&format!("{gap}{byte:02x} "));
        }
        let letters: String = part
            .iter()
            .map(|byte| match byte {
                b' '..=b'~' => char::from(*byte),
                _ => '.',
            })
            .collect();
        let line = format!(" | {:05x}  {digits:<49} {letters:<16} |\n", row * 16);
        out.extend_from_slice(line.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_bytes_a_line() {
        let mut out = Vec::new();
        push_lines(&mut out, b"vm\n");
        push_lines(&mut out, b"0123456789abcdefg");
        assert_eq!(
            String::from_utf8(out).unwrap(),
            " | 00000  76 6d 0a                                          vm.              |\n\
             \x20| 00000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  0123456789abcdef |\n\
             \x20| 00010  67                                                g                |\n"
        );
    }
}
