//! Clocks and timers.

use super::schema::prelude::*;

calls! { CALLS
}
