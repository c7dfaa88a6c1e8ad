//! Sockets and their addresses.

use super::schema::prelude::*;

calls! { CALLS
}
