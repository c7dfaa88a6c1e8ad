//! Logs for developers, by `PAI_LOG`.

use std::env;

use pai_host::output::OwnStderr;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time;

use super::message;

/// Starts writing logs to standard error: warnings, and more as `PAI_LOG` says.
/// It takes the directives of tracing's `EnvFilter`, such as
/// `pai::engine=debug`.
pub(crate) fn start(verbose: bool) {
    let usual = if verbose { "warn,pai=info" } else { "warn" };
    let filter = match env::var("PAI_LOG") {
        Ok(directives) if !directives.trim().is_empty() => EnvFilter::try_new(&directives)
            .unwrap_or_else(|error| {
                message::warning(
                    &format!("PAI_LOG is not understood: {error}"),
                    Some("use directives such as `debug` or `pai::engine=debug,warn`"),
                );
                EnvFilter::new(usual)
            }),
        _ => EnvFilter::new(usual),
    };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_timer(time::uptime())
        .with_ansi(message::has_colours())
        .with_writer(|| OwnStderr)
        // It would tell standard error that standard error cannot be written.
        .log_internal_errors(false)
        .finish();
    // Fails only when there is one already.
    drop(tracing::subscriber::set_global_default(subscriber));
}
