//! Memory: mappings, advice, policies, futexes.

use super::schema::prelude::*;

calls! { CALLS
}
