//! Extended attributes of what a path leads to.

use std::ffi::CStr;

/// Bytes of an attribute that are read: names of protocols are short.
const MOST: usize = 64;

/// The value of an attribute, up to 64 bytes; `None` if there is none. Follows links
/// (getxattr(2)). Of a socket, `system.sockprotoname` is the name of its protocol
/// (sockfs_xattr_get in net/socket.c).
#[must_use]
pub fn xattr(path: &CStr, name: &CStr) -> Option<Vec<u8>> {
    let mut value = vec![0_u8; MOST];
    // SAFETY: both are strings that end with NUL; the kernel writes at most `MOST`
    // bytes into a buffer of that size.
    let len = unsafe {
        libc::getxattr(
            path.as_ptr(),
            name.as_ptr(),
            value.as_mut_ptr().cast(),
            value.len(),
        )
    };
    value.truncate(usize::try_from(len).ok()?);
    Some(value)
}
