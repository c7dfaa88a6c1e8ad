//! Signals.

use super::schema::prelude::*;

calls! { CALLS
}
