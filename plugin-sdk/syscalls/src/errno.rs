//! Error numbers: names, and the texts that users know.
//!
//! The values are those of asm-generic/errno.h, which x86 and arm64 share. A
//! system call returns them negated: -1 to -4095 is an error (syscall(2)).

/// Name and strerror(3) text in the C locale of glibc, indexed by number; empty
/// where the number is unassigned.
static ERRORS: [(&str, &str); 134] = [
    ("", ""),
    ("EPERM", "Operation not permitted"),
    ("ENOENT", "No such file or directory"),
    ("ESRCH", "No such process"),
    ("EINTR", "Interrupted system call"),
    ("EIO", "Input/output error"),
    ("ENXIO", "No such device or address"),
    ("E2BIG", "Argument list too long"),
    ("ENOEXEC", "Exec format error"),
    ("EBADF", "Bad file descriptor"),
    ("ECHILD", "No child processes"),
    ("EAGAIN", "Resource temporarily unavailable"),
    ("ENOMEM", "Cannot allocate memory"),
    ("EACCES", "Permission denied"),
    ("EFAULT", "Bad address"),
    ("ENOTBLK", "Block device required"),
    ("EBUSY", "Device or resource busy"),
    ("EEXIST", "File exists"),
    ("EXDEV", "Invalid cross-device link"),
    ("ENODEV", "No such device"),
    ("ENOTDIR", "Not a directory"),
    ("EISDIR", "Is a directory"),
    ("EINVAL", "Invalid argument"),
    ("ENFILE", "Too many open files in system"),
    ("EMFILE", "Too many open files"),
    ("ENOTTY", "Inappropriate ioctl for device"),
    ("ETXTBSY", "Text file busy"),
    ("EFBIG", "File too large"),
    ("ENOSPC", "No space left on device"),
    ("ESPIPE", "Illegal seek"),
    ("EROFS", "Read-only file system"),
    ("EMLINK", "Too many links"),
    ("EPIPE", "Broken pipe"),
    ("EDOM", "Numerical argument out of domain"),
    ("ERANGE", "Numerical result out of range"),
    ("EDEADLK", "Resource deadlock avoided"),
    ("ENAMETOOLONG", "File name too long"),
    ("ENOLCK", "No locks available"),
    ("ENOSYS", "Function not implemented"),
    ("ENOTEMPTY", "Directory not empty"),
    ("ELOOP", "Too many levels of symbolic links"),
    ("", ""),
    ("ENOMSG", "No message of desired type"),
    ("EIDRM", "Identifier removed"),
    ("ECHRNG", "Channel number out of range"),
    ("EL2NSYNC", "Level 2 not synchronized"),
    ("EL3HLT", "Level 3 halted"),
    ("EL3RST", "Level 3 reset"),
    ("ELNRNG", "Link number out of range"),
    ("EUNATCH", "Protocol driver not attached"),
    ("ENOCSI", "No CSI structure available"),
    ("EL2HLT", "Level 2 halted"),
    ("EBADE", "Invalid exchange"),
    ("EBADR", "Invalid request descriptor"),
    ("EXFULL", "Exchange full"),
    ("ENOANO", "No anode"),
    ("EBADRQC", "Invalid request code"),
    ("EBADSLT", "Invalid slot"),
    ("", ""),
    ("EBFONT", "Bad font file format"),
    ("ENOSTR", "Device not a stream"),
    ("ENODATA", "No data available"),
    ("ETIME", "Timer expired"),
    ("ENOSR", "Out of streams resources"),
    ("ENONET", "Machine is not on the network"),
    ("ENOPKG", "Package not installed"),
    ("EREMOTE", "Object is remote"),
    ("ENOLINK", "Link has been severed"),
    ("EADV", "Advertise error"),
    ("ESRMNT", "Srmount error"),
    ("ECOMM", "Communication error on send"),
    ("EPROTO", "Protocol error"),
    ("EMULTIHOP", "Multihop attempted"),
    ("EDOTDOT", "RFS specific error"),
    ("EBADMSG", "Bad message"),
    ("EOVERFLOW", "Value too large for defined data type"),
    ("ENOTUNIQ", "Name not unique on network"),
    ("EBADFD", "File descriptor in bad state"),
    ("EREMCHG", "Remote address changed"),
    ("ELIBACC", "Can not access a needed shared library"),
    ("ELIBBAD", "Accessing a corrupted shared library"),
    ("ELIBSCN", ".lib section in a.out corrupted"),
    ("ELIBMAX", "Attempting to link in too many shared libraries"),
    ("ELIBEXEC", "Cannot exec a shared library directly"),
    (
        "EILSEQ",
        "Invalid or incomplete multibyte or wide character",
    ),
    ("ERESTART", "Interrupted system call should be restarted"),
    ("ESTRPIPE", "Streams pipe error"),
    ("EUSERS", "Too many users"),
    ("ENOTSOCK", "Socket operation on non-socket"),
    ("EDESTADDRREQ", "Destination address required"),
    ("EMSGSIZE", "Message too long"),
    ("EPROTOTYPE", "Protocol wrong type for socket"),
    ("ENOPROTOOPT", "Protocol not available"),
    ("EPROTONOSUPPORT", "Protocol not supported"),
    ("ESOCKTNOSUPPORT", "Socket type not supported"),
    ("EOPNOTSUPP", "Operation not supported"),
    ("EPFNOSUPPORT", "Protocol family not supported"),
    ("EAFNOSUPPORT", "Address family not supported by protocol"),
    ("EADDRINUSE", "Address already in use"),
    ("EADDRNOTAVAIL", "Cannot assign requested address"),
    ("ENETDOWN", "Network is down"),
    ("ENETUNREACH", "Network is unreachable"),
    ("ENETRESET", "Network dropped connection on reset"),
    ("ECONNABORTED", "Software caused connection abort"),
    ("ECONNRESET", "Connection reset by peer"),
    ("ENOBUFS", "No buffer space available"),
    ("EISCONN", "Transport endpoint is already connected"),
    ("ENOTCONN", "Transport endpoint is not connected"),
    ("ESHUTDOWN", "Cannot send after transport endpoint shutdown"),
    ("ETOOMANYREFS", "Too many references: cannot splice"),
    ("ETIMEDOUT", "Connection timed out"),
    ("ECONNREFUSED", "Connection refused"),
    ("EHOSTDOWN", "Host is down"),
    ("EHOSTUNREACH", "No route to host"),
    ("EALREADY", "Operation already in progress"),
    ("EINPROGRESS", "Operation now in progress"),
    ("ESTALE", "Stale file handle"),
    ("EUCLEAN", "Structure needs cleaning"),
    ("ENOTNAM", "Not a XENIX named type file"),
    ("ENAVAIL", "No XENIX semaphores available"),
    ("EISNAM", "Is a named type file"),
    ("EREMOTEIO", "Remote I/O error"),
    ("EDQUOT", "Disk quota exceeded"),
    ("ENOMEDIUM", "No medium found"),
    ("EMEDIUMTYPE", "Wrong medium type"),
    ("ECANCELED", "Operation canceled"),
    ("ENOKEY", "Required key not available"),
    ("EKEYEXPIRED", "Key has expired"),
    ("EKEYREVOKED", "Key has been revoked"),
    ("EKEYREJECTED", "Key was rejected by service"),
    ("EOWNERDEAD", "Owner died"),
    ("ENOTRECOVERABLE", "State not recoverable"),
    ("ERFKILL", "Operation not possible due to RF-kill"),
    ("EHWPOISON", "Memory page has hardware error"),
];

/// Second names of a number: those of asm-generic/errno.h, and `ENOTSUP`, which
/// POSIX keeps apart and Linux does not (errno(3)).
static ALIASES: [(&str, u32); 3] = [("EWOULDBLOCK", 11), ("EDEADLOCK", 35), ("ENOTSUP", 95)];

/// The name of an error: `ENOENT` for 2.
///
/// 11 is `EAGAIN`, never `EWOULDBLOCK`.
#[must_use]
pub fn name(errno: u32) -> Option<&'static str> {
    entry(errno).map(|(name, _)| name)
}

/// The text of an error as glibc's strerror(3) gives it: `No such file or
/// directory` for 2.
#[must_use]
pub fn description(errno: u32) -> Option<&'static str> {
    entry(errno).map(|(_, description)| description)
}

/// The number of an error by its exact name; aliases such as `EWOULDBLOCK` are
/// understood.
#[must_use]
pub fn number(name: &str) -> Option<u32> {
    if name.is_empty() {
        return None;
    }
    (0..)
        .zip(&ERRORS)
        .find_map(|(errno, entry)| (entry.0 == name).then_some(errno))
        .or_else(|| {
            let alias = ALIASES.iter().find(|alias| alias.0 == name)?;
            Some(alias.1)
        })
}

/// The name of a code by which the kernel asks itself to restart a system call.
///
/// Programs never see these; a tracer does, as the result in a system call exit
/// stop of a call that a signal interrupted. They are the kernel's own
/// (include/linux/errno.h) and not part of its user interface, hence apart from
/// [`name`].
#[must_use]
pub const fn restart_name(code: u32) -> Option<&'static str> {
    match code {
        512 => Some("ERESTARTSYS"),
        513 => Some("ERESTARTNOINTR"),
        514 => Some("ERESTARTNOHAND"),
        516 => Some("ERESTART_RESTARTBLOCK"),
        _ => None,
    }
}

/// The name of a code that the kernel has for itself, and that some calls return by
/// mistake: include/linux/errno.h.
#[must_use]
pub const fn internal_name(code: u32) -> Option<&'static str> {
    match code {
        515 => Some("ENOIOCTLCMD"),
        517 => Some("EPROBE_DEFER"),
        518 => Some("EOPENSTALE"),
        519 => Some("ENOPARAM"),
        521 => Some("EBADHANDLE"),
        522 => Some("ENOTSYNC"),
        523 => Some("EBADCOOKIE"),
        524 => Some("ENOTSUPP"),
        525 => Some("ETOOSMALL"),
        526 => Some("ESERVERFAULT"),
        527 => Some("EBADTYPE"),
        528 => Some("EJUKEBOX"),
        529 => Some("EIOCBQUEUED"),
        530 => Some("ERECALLCONFLICT"),
        _ => None,
    }
}

fn entry(errno: u32) -> Option<(&'static str, &'static str)> {
    let entry = *ERRORS.get(usize::try_from(errno).ok()?)?;
    (!entry.0.is_empty()).then_some(entry)
}

#[cfg(test)]
mod tests {
    use super::{description, internal_name, name, number, restart_name};

    #[test]
    fn names_and_numbers_agree() {
        let known = (0..=200).filter(|&errno| name(errno).is_some()).count();
        assert_eq!(known, 131);
        for errno in 0..=200 {
            if let Some(name) = name(errno) {
                assert!(name.starts_with('E'), "{name}");
                assert_eq!(number(name), Some(errno));
            }
        }
    }

    #[test]
    fn values_are_those_of_the_headers() {
        for (errno, expected) in [
            (1, "EPERM"),
            (2, "ENOENT"),
            (4, "EINTR"),
            (11, "EAGAIN"),
            (14, "EFAULT"),
            (22, "EINVAL"),
            (34, "ERANGE"),
            (35, "EDEADLK"),
            (38, "ENOSYS"),
            (59, "EBFONT"),
            (75, "EOVERFLOW"),
            (95, "EOPNOTSUPP"),
            (110, "ETIMEDOUT"),
            (125, "ECANCELED"),
            (133, "EHWPOISON"),
        ] {
            assert_eq!(name(errno), Some(expected));
        }
    }

    #[test]
    fn unassigned_numbers_have_neither_name_nor_text() {
        for errno in [0, 41, 58, 134, 512, 4095, u32::MAX] {
            assert_eq!(name(errno), None, "{errno}");
            assert_eq!(description(errno), None, "{errno}");
        }
        for unknown in ["", "E", "ENOPE", "enoent", "ENOENT "] {
            assert_eq!(number(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn aliases_are_understood_but_not_given() {
        assert_eq!(number("EWOULDBLOCK"), number("EAGAIN"));
        assert_eq!(number("EDEADLOCK"), number("EDEADLK"));
        assert_eq!(number("ENOTSUP"), number("EOPNOTSUPP"));
    }

    /// `io::Error` asks the C library, which answers in the C locale as long as
    /// nobody calls setlocale(3).
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn texts_are_those_of_the_c_library() {
        for errno in 1..=133 {
            let Some(description) = description(errno) else {
                continue;
            };
            let code = i32::try_from(errno).expect("it is small");
            let message = std::io::Error::from_raw_os_error(code);
            assert_eq!(
                std::format!("{message}"),
                std::format!("{description} (os error {errno})")
            );
        }
    }

    #[test]
    fn restart_codes_are_only_the_four() {
        assert_eq!(restart_name(512), Some("ERESTARTSYS"));
        assert_eq!(restart_name(516), Some("ERESTART_RESTARTBLOCK"));
        for code in [0, 85, 511, 515, 517, 530, u32::MAX] {
            assert_eq!(restart_name(code), None, "{code}");
        }
    }

    #[test]
    fn internal_codes_are_no_errors_and_no_restarts() {
        assert_eq!(internal_name(524), Some("ENOTSUPP"));
        for code in (0..600).filter(|code| internal_name(*code).is_some()) {
            assert_eq!((name(code), restart_name(code)), (None, None), "{code}");
        }
    }
}
