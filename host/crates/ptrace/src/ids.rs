//! Task and process ids.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(i32);

        impl $name {
            /// The id with this number.
            pub const fn new(number: i32) -> Self {
                Self(number)
            }

            /// The number as the kernel knows it.
            pub const fn get(self) -> i32 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    };
}

id! {
    /// Id of a task: the unit that ptrace(2) stops and resumes (gettid(2)).
    Tid
}

id! {
    /// Id of a process: a thread group that shares an address space
    /// (getpid(2)). Equals the [`Tid`] of its leader.
    Pid
}

impl Pid {
    /// The leader of this thread group.
    pub const fn leader(self) -> Tid {
        Tid(self.0)
    }
}

impl Tid {
    /// The process that has this task as its leader.
    pub const fn as_pid(self) -> Pid {
        Pid(self.0)
    }
}
