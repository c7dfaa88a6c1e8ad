//! What the benches share.
//!
//! Every bench compares ways to run the same target ([`Variant`]s) under the same
//! conditions, and checks that each way saw every event: a tracer that loses
//! events is not quick but wrong. A wrong count ends the bench with an error.

pub mod breakpoints;
pub mod counts;
pub mod engine;
pub mod gated;
pub mod minimal;
pub mod options;
pub mod place;
pub mod programs;
pub mod table;
pub mod tree;
pub mod truth;
pub mod variant;
pub mod way;
pub mod whole_run;

pub use counts::Counts;
pub use options::Options;
pub use place::Place;
pub use table::{Samples, Table};
pub use variant::Variant;
pub use way::{Ran, Way};

/// How the line of a documented limit that was missed begins.
const MISSED: &str = "- limit missed:";

/// The sentence about a limit that was missed, if it was: of a way compared with another.
pub fn missed(
    what: &str,
    (name, own): (&str, &Samples),
    (peer, other): (&str, &Samples),
    limit: f64,
) -> Option<String> {
    let ratio = own.ratio_to(other);
    let sentence = || format!("{what}: {name} is {ratio:.2} times {peer}, the limit is {limit:.2}");
    (ratio > limit).then(sentence)
}

/// What a section ends with.
#[expect(clippy::print_stdout, reason = "for command line programs")]
pub fn print_end(missed: &[String]) {
    println!("Load after: {}.\n", place::load());
    for line in missed {
        println!("{MISSED} {line}");
    }
    if !missed.is_empty() {
        println!();
    }
}
