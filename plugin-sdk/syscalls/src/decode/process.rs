//! Processes, tasks, users, scheduling and limits.

use super::schema::prelude::*;

calls! { CALLS
}
