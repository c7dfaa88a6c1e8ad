//! siginfo_t of a signal-delivery-stop.

use crate::Signal;

/// A `siginfo_t` (sigaction(2)), as the kernel lays it out on x86_64: si_signo, si_errno,
/// si_code, padding, then a union at offset 16.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SigInfo {
    /// As many as the kernel's own structure has; it fills the rest with zeros
    /// (copy_siginfo_to_user in kernel/signal.c).
    bytes: [u8; 48],
}

/// Where the kernel writes one.
#[repr(C, align(8))]
pub(crate) struct RawSigInfo([u8; SigInfo::SIZE]);

impl RawSigInfo {
    pub(crate) const fn zeroed() -> Self {
        Self([0; SigInfo::SIZE])
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.0.as_mut_ptr()
    }
}

impl From<RawSigInfo> for SigInfo {
    fn from(raw: RawSigInfo) -> Self {
        let mut bytes = [0; 48];
        bytes.copy_from_slice(&raw.0[..48]);
        Self { bytes }
    }
}

impl From<SigInfo> for RawSigInfo {
    fn from(info: SigInfo) -> Self {
        Self(info.to_bytes())
    }
}

impl SigInfo {
    /// Size of a `siginfo_t` (SI_MAX_SIZE).
    pub const SIZE: usize = 128;

    /// All bytes of the `siginfo_t`.
    pub fn to_bytes(self) -> [u8; Self::SIZE] {
        let mut all = [0; Self::SIZE];
        all[..self.bytes.len()].copy_from_slice(&self.bytes);
        all
    }

    fn word(&self, offset: usize) -> i32 {
        let mut word = [0; 4];
        word.copy_from_slice(&self.bytes[offset..offset + 4]);
        i32::from_ne_bytes(word)
    }

    /// si_signo.
    pub fn signal(&self) -> i32 {
        self.word(0)
    }

    /// si_code.
    pub fn code(&self) -> i32 {
        self.word(8)
    }

    /// Whether the stop that it is of is a signal-delivery-stop. Of the others
    /// si_code is the status, shifted (ptrace_do_notify in kernel/signal.c).
    pub fn is_of_a_signal(&self) -> bool {
        let (signal, code) = (self.signal(), self.code());
        let event = code >> 8 > 0 && code & 0xff == signal;
        let syscall = signal == libc::SIGTRAP && code == libc::SIGTRAP | 0x80;
        !event && !syscall
    }

    /// si_pid of signals that have a sender: sent by kill, tgkill or sigqueue,
    /// and SIGCHLD.
    pub fn sender(&self) -> Option<i32> {
        let sent = matches!(
            self.code(),
            libc::SI_USER | libc::SI_TKILL | libc::SI_QUEUE | libc::SI_MESGQ
        );
        (sent || (self.signal() == libc::SIGCHLD && self.code() > 0)).then(|| self.word(16))
    }

    /// si_addr of faults raised by the kernel.
    pub fn address(&self) -> Option<u64> {
        let fault = matches!(
            self.signal(),
            libc::SIGSEGV | libc::SIGBUS | libc::SIGILL | libc::SIGFPE | libc::SIGTRAP
        );
        if !fault || self.code() <= 0 || self.code() == libc::SI_KERNEL {
            return None;
        }
        let mut addr = [0; 8];
        addr.copy_from_slice(&self.bytes[16..24]);
        Some(u64::from_ne_bytes(addr))
    }

    /// Replaces si_addr.
    pub fn set_address(&mut self, addr: u64) {
        self.bytes[16..24].copy_from_slice(&addr.to_ne_bytes());
    }
}

impl std::fmt::Debug for SigInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigInfo")
            .field("signal", &Signal::from_kernel(self.signal()))
            .field("code", &self.code())
            .finish_non_exhaustive()
    }
}
