//! How much of what arguments lead to is read and shown.

/// How much is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes of text and of buffers.
    pub text: usize,
    /// Elements of arrays.
    pub items: usize,
    /// What is found out about file descriptors.
    pub descriptors: Descriptors,
    /// Fields of structures that are only shown with everything are left out where there
    /// are many of them, in `struct stat`: they need not be made when nobody looks.
    pub brief: bool,
    /// Frames of the stack of the task, which no description asks for.
    pub frames: usize,
    /// Names of tasks: of the one that makes the call, and of those in its arguments.
    pub tasks: bool,
}

/// What is found out about file descriptors.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Descriptors {
    /// What /proc/PID/fd has: a path, `socket:[…]`.
    pub paths: bool,
    /// Protocols and addresses of sockets.
    pub sockets: bool,
    /// Paths and numbers of devices.
    pub devices: bool,
    /// What descriptors of processes refer to.
    pub processes: bool,
}

impl Descriptors {
    /// Nothing.
    pub const NONE: Self = Self {
        paths: false,
        sockets: false,
        devices: false,
        processes: false,
    };
    /// Paths only.
    pub const PATHS: Self = Self {
        paths: true,
        ..Self::NONE
    };
    /// Everything.
    pub const ALL: Self = Self {
        paths: true,
        sockets: true,
        devices: true,
        processes: true,
    };

    /// What either wants.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            paths: self.paths | other.paths,
            sockets: self.sockets | other.sockets,
            devices: self.devices | other.devices,
            processes: self.processes | other.processes,
        }
    }
}

impl Limits {
    /// Nothing is read.
    pub const NONE: Self = Self {
        text: 0,
        items: 0,
        descriptors: Descriptors::NONE,
        brief: false,
        frames: 0,
        tasks: false,
    };
    /// As many `items` as strace(1) shows with everything (`-v`); environments are read
    /// too.
    pub const ALL: usize = 4096;
    /// No more `text` is read, whoever wants it.
    pub const MOST_TEXT: usize = 1 << 20;
    /// No more `items` are.
    pub const MOST_ITEMS: usize = 1 << 16;

    /// The greater of both.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            text: self.text.max(other.text),
            items: self.items.max(other.items),
            descriptors: self.descriptors.or(other.descriptors),
            brief: self.brief && other.brief,
            frames: self.frames.max(other.frames),
            tasks: self.tasks | other.tasks,
        }
    }
}

impl Default for Limits {
    /// As strace(1) does.
    fn default() -> Self {
        Self {
            text: 32,
            items: 32,
            descriptors: Descriptors::NONE,
            brief: false,
            frames: 0,
            tasks: false,
        }
    }
}
