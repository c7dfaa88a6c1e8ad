//! What a file descriptor refers to, as the host has found it.

use alloc::vec::Vec;

/// A path, or what /proc/PID/fd has in its place (proc(5)), and more about it.
///
/// # Encoding
/// The path; if there is more, a NUL byte, which is in no path, a byte that is 1 for a
/// deleted file, the details, and, if there is a name of a socket, a NUL byte and that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Descriptor<'a> {
    /// A path, `pipe:[12]`, `anon_inode:[eventpoll]`; nothing where details say it all.
    pub path: &'a [u8],
    /// The file has no name any more.
    pub deleted: bool,
    /// What is shown behind the path as it is: `<char 1:3>`, `TCP:[127.0.0.1:80]`.
    pub details: &'a [u8],
    /// The name of a Unix socket, with a NUL byte in front of an abstract one (unix(7)).
    /// The details lack what comes behind it: `UNIX:[12`.
    pub socket_name: Option<&'a [u8]>,
}

const DELETED: u8 = 1;

impl<'a> Descriptor<'a> {
    /// Of which no more than this is known.
    #[must_use]
    pub fn of_path(path: &'a [u8]) -> Self {
        Self {
            path,
            ..Self::default()
        }
    }

    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.path.to_vec();
        if *self != Self::of_path(self.path) {
            out.extend_from_slice(&[0, if self.deleted { DELETED } else { 0 }]);
            out.extend_from_slice(self.details);
        }
        if let Some(name) = self.socket_name {
            out.push(0);
            out.extend_from_slice(name);
        }
        out
    }

    /// From those; what is missing is empty.
    #[must_use]
    pub fn decode(data: &'a [u8]) -> Self {
        let Some((path, more)) = at_nul(data) else {
            return Self::of_path(data);
        };
        let (flag, more) = more.split_first().unwrap_or((&0, &[]));
        let (details, socket_name) = match at_nul(more) {
            Some((details, name)) => (details, Some(name)),
            None => (more, None),
        };
        Self {
            path,
            deleted: *flag == DELETED,
            details,
            socket_name,
        }
    }
}

/// What is before the first NUL byte, and what is behind it.
fn at_nul(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = data.iter().position(|byte| *byte == 0)?;
    let (before, after) = data.split_at(at);
    Some((before, after.get(1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_read() {
        let whole = Descriptor {
            path: b"/x",
            deleted: true,
            details: b"<char 1:3>",
            socket_name: Some(b"\0a\0b"),
        };
        for of in [
            whole,
            Descriptor::default(),
            Descriptor::of_path(b"/x (deleted)"),
            Descriptor {
                socket_name: None,
                ..whole
            },
            Descriptor {
                details: b"",
                ..whole
            },
            Descriptor {
                deleted: false,
                socket_name: Some(b""),
                path: b"",
                ..whole
            },
        ] {
            assert_eq!(Descriptor::decode(&of.encode()), of);
        }
        assert_eq!(Descriptor::of_path(b"/x").encode(), b"/x");
        assert_eq!(Descriptor::decode(b"/x\0"), Descriptor::of_path(b"/x"));
    }
}
