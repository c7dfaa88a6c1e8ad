//! The usual questions about a decoded call: which file, which descriptor, which bytes,
//! which address.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use super::read::{Argument, Decoded};
use super::schema::{Style, Type};
use super::value::Value;

mod address;

pub use address::SocketAddress;

/// The working directory in place of a descriptor (linux/fcntl.h).
pub const AT_FDCWD: i32 = -100;

/// A name of a file as a call gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileName<'a> {
    /// The directory that a relative name starts from: a descriptor, or [`AT_FDCWD`].
    pub dirfd: i32,
    /// The name.
    pub name: &'a [u8],
}

impl FileName<'_> {
    /// The name from the root, if somebody knows the directory: `dir` says what a
    /// descriptor, or [`AT_FDCWD`], refers to. Nothing is looked up: `..` and symbolic
    /// links stay. An empty name is the directory itself, as `.` is (AT_EMPTY_PATH).
    pub fn resolve(&self, dir: impl FnOnce(i32) -> Option<Vec<u8>>) -> Vec<u8> {
        if self.name.first() == Some(&b'/') {
            return self.name.to_vec();
        }
        let Some(mut path) = dir(self.dirfd) else {
            return self.name.to_vec();
        };
        let name = self.name.strip_prefix(b"./").unwrap_or(self.name);
        if name.is_empty() || name == b"." {
            return path;
        }
        if path.last() != Some(&b'/') {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        path
    }
}

impl Decoded {
    /// The value of an argument by its kernel name: `flags`.
    #[must_use]
    pub fn argument(&self, name: &str) -> Option<&Value> {
        let found = self.args.iter().find(|arg| arg.name == name);
        found.map(|arg| &arg.value)
    }

    /// The descriptor that the call is about: the first argument that is one. The
    /// directory of a name is none.
    #[must_use]
    pub fn fd(&self) -> Option<i32> {
        let mut found = self.typed().filter_map(|(ty, arg)| match (ty, &arg.value) {
            (Type::Scalar(_, Style::Fd), Value::Fd(fd)) => Some(*fd),
            _ => None,
        });
        found.next()
    }

    /// The descriptor that the call has made, if that is its result.
    #[must_use]
    pub fn new_fd(&self) -> Option<i32> {
        match self.ret {
            Some(Value::Fd(fd)) => Some(fd),
            _ => None,
        }
    }

    /// The name of the file that the call is about: the first of [`Decoded::paths`].
    #[must_use]
    pub fn path(&self) -> Option<FileName<'_>> {
        self.paths().next()
    }

    /// All names of files among the arguments, as far as they were read.
    pub fn paths(&self) -> impl Iterator<Item = FileName<'_>> {
        let mut dirfd = AT_FDCWD;
        self.typed().filter_map(move |(ty, arg)| {
            // A directory is that of the name right behind it.
            let before = core::mem::replace(&mut dirfd, AT_FDCWD);
            match (ty, &arg.value) {
                (Type::Scalar(_, Style::Dirfd), Value::Fd(fd)) => dirfd = *fd,
                (Type::Path, value) => {
                    let dirfd = before;
                    return value.bytes().map(|name| FileName { dirfd, name });
                }
                _ => {}
            }
            None
        })
    }

    /// What is read, written, sent or received, as far as it was captured: a buffer, or
    /// those of an `iovec` or `msghdr` one behind the other.
    #[must_use]
    pub fn bytes(&self) -> Option<Cow<'_, [u8]>> {
        self.typed().find_map(|(ty, arg)| match ty {
            Type::Bytes(..) => arg.value.bytes().map(Cow::Borrowed),
            Type::To(..) | Type::Sized(..) | Type::Array(..) => {
                let mut pieces = Vec::new();
                collect(&arg.value, &mut pieces);
                match pieces[..] {
                    [] => None,
                    [one] => Some(Cow::Borrowed(one)),
                    _ => Some(Cow::Owned(pieces.concat())),
                }
            }
            _ => None,
        })
    }

    /// Arguments with their types.
    fn typed(&self) -> impl Iterator<Item = (&'static Type, &Argument)> {
        self.args.iter().filter_map(|arg| {
            let described = self.call.args.iter().find(|of| of.name == arg.name)?;
            let mut ty = &described.ty;
            while let Type::Then(of, _) = ty {
                ty = of;
            }
            Some((ty, arg))
        })
    }
}

/// The buffers of `iovec`s, also of those in a `msghdr` or `mmsghdr`.
fn collect<'v>(value: &'v Value, pieces: &mut Vec<&'v [u8]>) {
    if let Some(items) = value.items() {
        for item in items {
            collect(item, pieces);
        }
    } else if let Some(fields) = value.fields() {
        pieces.extend(fields.get("iov_base").and_then(Value::bytes));
        for inner in ["msg_hdr", "msg_iov"] {
            if let Some(value) = fields.get(inner) {
                collect(value, pieces);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi;
    use crate::decode::captured::When::{self, Enter, Exit};
    use crate::decode::{Captured, Limits, captured, decode, describe};

    fn decoded(
        name: &str,
        registers: [u64; 6],
        ret: Option<i64>,
        pieces: &[(When, u64, &[u8])],
    ) -> Decoded {
        let abi = abi::X86_64;
        let call = describe(abi, crate::number(abi, name).expect(name)).expect(name);
        let mut encoded = Vec::new();
        for (when, addr, bytes) in pieces {
            captured::encode(&mut encoded, *when, *addr, bytes);
        }
        let known = Captured::decode(&encoded);
        decode(call, abi, registers, ret, Limits::default(), &known)
    }

    #[test]
    fn files_have_names_and_directories() {
        let name: (_, _, &[u8]) = (Enter, 0x1000, b"etc/passwd\0");
        let open = decoded("openat", [5, 0x1000, 0, 0, 0, 0], Some(7), &[name]);
        let path = open.path().expect("a name");
        let expected = FileName {
            dirfd: 5,
            name: b"etc/passwd",
        };
        assert_eq!(path, expected);
        let root = |dirfd| (dirfd == 5).then(|| Vec::from(*b"/"));
        assert_eq!(path.resolve(root), b"/etc/passwd");
        assert_eq!(path.resolve(|_| Some(Vec::from(*b"/x"))), b"/x/etc/passwd");
        assert_eq!(path.resolve(|_| None), b"etc/passwd");
        assert_eq!((open.fd(), open.new_fd()), (None, Some(7)));
        let flags = open.argument("flags").and_then(Value::number);
        assert_eq!(flags, Some(0));
        assert!(open.argument("mode").is_none());

        let open = decoded("open", [0x1000, 0, 0, 0, 0, 0], Some(-2), &[name]);
        assert_eq!(open.path().map(|path| path.dirfd), Some(AT_FDCWD));
        assert_eq!(open.new_fd(), None);
        let unread = decoded("open", [0x2000, 0, 0, 0, 0, 0], Some(-14), &[]);
        assert_eq!(unread.path(), None);
    }

    #[test]
    fn absolute_and_odd_names() {
        let name = |name| FileName { dirfd: 3, name };
        let dir = |_| Some(Vec::from(*b"/d"));
        assert_eq!(name(b"/a").resolve(dir), b"/a");
        assert_eq!(name(b"./a").resolve(dir), b"/d/a");
        assert_eq!(name(b"../a").resolve(dir), b"/d/../a");
        for itself in [&b""[..], b".", b"./"] {
            assert_eq!(name(itself).resolve(dir), b"/d");
        }
    }

    #[test]
    fn bytes_are_those_of_all_buffers() {
        let read = [3, 0x1000, 10, 0, 0, 0];
        let text: (_, _, &[u8]) = (Exit, 0x1000, b"abcdefghij");
        let call = decoded("read", read, Some(4), &[text]);
        assert_eq!(call.bytes().as_deref(), Some(&b"abcd"[..]));
        assert_eq!(call.fd(), Some(3));
        let failed = decoded("read", read, Some(-9), &[text]);
        assert_eq!(failed.bytes(), None);

        let mut vectors = Vec::new();
        for number in [0x1000_u64, 2, 0x1004, 3] {
            vectors.extend_from_slice(&number.to_le_bytes());
        }
        let text: (_, _, &[u8]) = (Enter, 0x1000, b"abcdefghij");
        let vectors: (_, _, &[u8]) = (Enter, 0x3000, &vectors);
        let writev = [1, 0x3000, 2, 0, 0, 0];
        let call = decoded("writev", writev, Some(5), &[text, vectors]);
        assert_eq!(call.bytes().as_deref(), Some(&b"abefg"[..]));
        // Files have names, not bytes.
        let name: (_, _, &[u8]) = (Enter, 0x1000, b"/\0");
        let call = decoded("stat", [0x1000, 0, 0, 0, 0, 0], Some(-14), &[name]);
        assert_eq!(call.bytes(), None);
    }
}
