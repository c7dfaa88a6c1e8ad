//! System V and POSIX message queues, semaphores, shared memory.

use super::schema::prelude::*;

calls! { CALLS
}
