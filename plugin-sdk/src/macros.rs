//! The one macro that makes a crate a plugin.

/// Names the plugin, says what it wants, and exports its function.
///
/// `version` and `license` are those of the crate. Capabilities come with the
/// reason that the user is shown; see [`crate::manifest::Capability`]. Options
/// become flags of the command line; see [`crate::manifest::OptionSpec`].
///
/// ```no_run
/// use pai_plugin::Result;
///
/// pai_plugin::plugin! {
///     name: "no-sleep",
///     description: "skips nanosleep",
///     wants: [Tamper("to skip the calls")],
///     options: [
///         OptionSpec::flag("quiet", "say nothing").short("q"),
///         OptionSpec::integer("limit", "skip at most so many").metavar("N").default("10"),
///     ],
///     run: run,
/// }
///
/// fn run() -> Result<()> {
///     Ok(())
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! plugin {
    (
        name: $name:literal,
        description: $description:literal,
        $(wants: [$($capability:ident($why:literal)),* $(,)?],)?
        $(options: [$($option:expr),* $(,)?],)?
        run: $run:ident $(,)?
    ) => {
        #[allow(unsafe_code, reason = "a custom section, and the generated export")]
        mod __pai_plugin {
            #[allow(unused_imports, reason = "options may need none")]
            use $crate::manifest::{Capability, Manifest, OptionSpec, Want, encode, encoded_len};

            const MANIFEST: Manifest = Manifest {
                name: $name,
                version: env!("CARGO_PKG_VERSION"),
                description: $description,
                license: env!("CARGO_PKG_LICENSE"),
                wants: &[$($(Want { capability: Capability::$capability, why: $why }),*)?],
                options: &[$($($option),*)?],
            };

            #[used]
            #[unsafe(link_section = "pai:manifest")]
            static SECTION: [u8; encoded_len(&MANIFEST)] = encode(&MANIFEST);

            struct Plugin;

            impl $crate::bindings::Guest for Plugin {
                fn run() -> ::std::result::Result<(), ::std::string::String> {
                    $crate::start(super::$run)
                }
            }

            $crate::bindings::export_run!(Plugin with_types_in $crate::bindings);
        }
    };
}

/// Prints to the plugin's output: standard error, or the file of `-o`. With
/// `--json` text is dropped; see [`crate::output::emit`].
#[macro_export]
macro_rules! print {
    ($($arg:tt)*) => { $crate::output::print_args(::std::format_args!($($arg)*), false) };
}

/// As [`print!`], with a newline.
#[macro_export]
macro_rules! println {
    () => { $crate::output::print_args(::std::format_args!(""), true) };
    ($($arg:tt)*) => { $crate::output::print_args(::std::format_args!($($arg)*), true) };
}

/// Writes a line to the host's log, if somebody listens to this level.
#[macro_export]
macro_rules! log {
    ($level:ident, $($arg:tt)*) => {
        if $crate::log::enabled($crate::log::Level::$level) {
            $crate::log::write($crate::log::Level::$level, &::std::format!($($arg)*));
        }
    };
}
