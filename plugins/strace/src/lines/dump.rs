//! Bytes in hexadecimal digits and as letters (`-e read=`, `-e write=`).

/// In lines of sixteen.
pub(super) fn push(out: &mut Vec<u8>, bytes: &[u8]) {
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
        push(&mut out, b"vm\n");
        push(&mut out, b"0123456789abcdefg");
        assert_eq!(
            String::from_utf8(out).unwrap(),
            " | 00000  76 6d 0a                                          vm.              |\n\
             \x20| 00000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  0123456789abcdef |\n\
             \x20| 00010  67                                                g                |\n"
        );
    }
}
