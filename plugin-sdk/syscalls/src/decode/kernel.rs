//! bpf, perf events, io_uring, aio, modules, keys, and other calls with languages of their own.

use super::schema::prelude::*;

calls! { CALLS
}
