//! The options of the benches that are plain programs.

#![expect(clippy::print_stderr, reason = "for command line programs")]

use std::env;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

/// `[--quick] [--rounds N] [--ops N]`.
#[derive(Clone, Copy, Default, Debug)]
pub struct Options {
    /// Few rounds: shows that everything works, not how quick it is.
    pub quick: bool,
    rounds: Option<usize>,
    ops: Option<u64>,
}

impl Options {
    /// How often every variant runs, if nobody says otherwise: so often when it is to be
    /// quick, or else so often.
    pub fn rounds(self, quick: usize, full: usize) -> usize {
        self.rounds.unwrap_or(if self.quick { quick } else { full })
    }

    /// The same of operations per run of a target.
    pub fn ops(self, quick: u64, full: u64) -> u64 {
        self.ops.unwrap_or(if self.quick { quick } else { full })
    }

    /// Those of this process; `None` unless `cargo bench` started it.
    ///
    /// # Errors
    /// For what is no option.
    fn of_process() -> Result<Option<Self>> {
        let mut options = Self::default();
        let mut benching = false;
        let mut arguments = env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut number = || -> Result<u64> {
                arguments
                    .next()
                    .and_then(|value| value.parse().ok())
                    .filter(|number| *number > 0)
                    .with_context(|| format!("{argument} needs a number above 0"))
            };
            match argument.as_str() {
                "--bench" => benching = true,
                "--quick" => options.quick = true,
                // For criterion: `cargo bench` gives every bench the same.
                "--output-format" => drop(arguments.next()),
                "--rounds" => options.rounds = Some(usize::try_from(number()?)?),
                "--ops" => options.ops = Some(number()?),
                _ => bail!("unexpected argument '{argument}'"),
            }
        }
        Ok(benching.then_some(options))
    }

    /// The whole of a bench that is a plain program: does nothing unless `cargo bench`
    /// started it, and tells what went wrong.
    pub fn run(bench: impl FnOnce(Self) -> Result<()>) -> ExitCode {
        match Self::of_process().and_then(|options| options.map_or(Ok(()), bench)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error:#}");
                ExitCode::FAILURE
            }
        }
    }
}
