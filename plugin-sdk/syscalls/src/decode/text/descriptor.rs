//! What file descriptors refer to.

use alloc::vec::Vec;

use super::{Style, quote};
use crate::decode::Descriptor;
use crate::decode::schema::Look;
use crate::decode::value::Bytes;

impl Style<'_> {
    /// `</dev/null<char 1:3>>`, `</tmp/x>(deleted)`, `<UNIX:[12,@"name"]>`
    pub(super) fn push_descriptor(&self, out: &mut Vec<u8>, of: &Descriptor<'_>) {
        out.push(b'<');
        quote::push_path(out, of.path, self.hex);
        out.extend_from_slice(of.details);
        if let Some(name) = of.socket_name {
            // Up to a NUL byte, as strace has it.
            let rest = name.iter().skip(1).take_while(|byte| **byte != 0);
            let len = name.len().min(1 + rest.count());
            out.push(b',');
            self.push_bytes(
                out,
                &Bytes {
                    data: name[..len].to_vec(),
                    more: false,
                    whole: true,
                    look: Look::SocketName,
                },
            );
            out.push(b']');
        }
        out.push(b'>');
        if of.deleted {
            out.extend_from_slice(b"(deleted)");
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::super::Hex;
    use super::*;

    fn shown(of: Descriptor<'_>, hex: Hex) -> String {
        let mut out = Vec::new();
        let style = Style {
            hex,
            ..Style::default()
        };
        style.push_descriptor(&mut out, &of);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn names_are_escaped_and_the_rest_is_not() {
        let file = Descriptor {
            path: b"/a<b>\n",
            deleted: true,
            details: b"<char 1:3>",
            socket_name: None,
        };
        assert_eq!(shown(file, Hex::No), r"</a\74b\76\n<char 1:3>>(deleted)");
        let all = r"<\x2f\x61\x3c\x62\x3e\x0a<char 1:3>>(deleted)";
        assert_eq!(shown(file, Hex::All), all);
        let odd = Descriptor::of_path(b"/\x01");
        assert_eq!(shown(odd, Hex::Odd), r"<\x2f\x01>");
        assert_eq!(shown(odd, Hex::Escapes), r"</\x01>");
        let plain = Descriptor::of_path(b"/a<b");
        assert_eq!(shown(plain, Hex::Odd), r"</a\74b>");
    }

    #[test]
    fn names_of_sockets_are_quoted() {
        let of = |name| Descriptor {
            details: b"UNIX:[12",
            socket_name: Some(name),
            ..Descriptor::default()
        };
        let abstract_one = of(b"\0a\"<\0b");
        assert_eq!(shown(abstract_one, Hex::No), r#"<UNIX:[12,@"a\"<"]>"#);
        assert_eq!(
            shown(abstract_one, Hex::All),
            r#"<UNIX:[12,@"\x61\x22\x3c"]>"#
        );
        assert_eq!(shown(of(b"/s\0"), Hex::No), r#"<UNIX:[12,"/s"]>"#);
    }
}
