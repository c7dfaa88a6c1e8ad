//! Standard output and error without WASI.

use std::cell::RefCell;

use crate::bindings::pai::plugin::{log, output};

/// Makes a plugin import nothing of WASI, as long as it uses no files, clocks,
/// random numbers or sockets.
///
/// The standard library's panic path alone imports standard streams and the
/// environment. This replaces the two functions of the C library that it calls
/// for that: standard output goes to [`print!`](crate::print!), standard error
/// to the host's log line by line, and there are no environment variables.
/// Writing to any other file then fails, so leave it out of a plugin that the
/// user may give files to.
///
/// ```no_run
/// pai_plugin::without_wasi!();
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! without_wasi {
    () => {
        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code, reason = "replaces two functions of the C library")]
        const _: () = {
            #[unsafe(no_mangle)]
            unsafe extern "C" fn write(fd: i32, data: *const u8, len: usize) -> isize {
                if len == 0 {
                    return 0;
                }
                // SAFETY: write(2) is called with `len` readable bytes at `data`.
                $crate::stdio::write(fd, unsafe { ::std::slice::from_raw_parts(data, len) })
            }

            #[unsafe(no_mangle)]
            extern "C" fn getenv(_name: *const u8) -> *mut u8 {
                ::std::ptr::null_mut()
            }
        };
    };
}

/// Longest line of standard error that stays whole.
const LINE: usize = 512;

thread_local! {
    static ERRORS: RefCell<Line> = const { RefCell::new(Line { bytes: [0; LINE], len: 0 }) };
}

/// write(2) for [`without_wasi!`]. Allocates nothing: it reports the failure to
/// allocate, too.
pub fn write(fd: i32, bytes: &[u8]) -> isize {
    match fd {
        1 => text_of(bytes, |text| {
            // Like a closed pipe: nothing that the plugin could do about it.
            output::print(text).unwrap_or_default();
        }),
        2 => ERRORS.with(|errors| {
            if let Ok(mut line) = errors.try_borrow_mut() {
                line.push(bytes, |text| log::write(log::Level::Error, text));
            }
        }),
        _ => return -1,
    }
    isize::try_from(bytes.len()).unwrap_or(isize::MAX)
}

struct Line {
    bytes: [u8; LINE],
    len: usize,
}

impl Line {
    fn push(&mut self, bytes: &[u8], mut write: impl FnMut(&str)) {
        for &byte in bytes {
            if byte == b'\n' || self.len == LINE {
                text_of(&self.bytes[..self.len], &mut write);
                self.len = 0;
            }
            if byte != b'\n' {
                self.bytes[self.len] = byte;
                self.len += 1;
            }
        }
    }
}

/// The valid parts of a text, one after the other.
fn text_of(bytes: &[u8], mut write: impl FnMut(&str)) {
    for chunk in bytes.utf8_chunks() {
        if !chunk.valid().is_empty() {
            write(chunk.valid());
        }
        if !chunk.invalid().is_empty() {
            write("\u{fffd}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole() {
        let mut line = Line {
            bytes: [0; LINE],
            len: 0,
        };
        let mut seen = Vec::new();
        line.push(b"one", |text| seen.push(text.to_owned()));
        line.push(b" line\ntwo\nthr", |text| seen.push(text.to_owned()));
        assert_eq!(seen, ["one line", "two"]);
        line.push(&[b'x'; 2 * LINE], |text| seen.push(text.to_owned()));
        assert_eq!(seen.len(), 4);
        assert!(seen[2].starts_with("thrx") && seen[2].len() == LINE);
    }

    #[test]
    fn what_is_no_text_is_replaced() {
        let mut seen = String::new();
        text_of(b"a\xffb\xc3", |text| seen.push_str(text));
        assert_eq!(seen, "a\u{fffd}b\u{fffd}");
    }
}
