//! Waiting for descriptors: poll, select, epoll, timers and events as files.

use super::schema::prelude::*;

calls! { CALLS
}
