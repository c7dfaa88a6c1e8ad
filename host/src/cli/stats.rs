//! `--stats`

use std::time::Duration;

use pai_host::session::{PluginStats, SessionStats};
use serde_json::{Value, json};

use super::message;

/// Prints the counters of a session to standard error: two tables, or a line
/// like those of plugins.
pub(crate) fn print(stats: &SessionStats, structured: bool) {
    if structured {
        let line = json!({ "v": 1, "plugin": null, "kind": "stats", "data": data(stats) });
        message::stderr(&format!("{line}\n"));
    } else {
        message::stderr(&tables(stats));
    }
}

fn tables(stats: &SessionStats) -> String {
    let engine = &stats.engine;
    let mut counters: Vec<Vec<String>> = [
        ("stops", engine.stops),
        ("  of system calls", engine.syscall_stops),
        ("  at breakpoints", engine.breakpoints),
        ("stepped in place", engine.steps_in_place),
        ("signals", engine.signals),
        ("processes", engine.processes),
        ("threads", engine.tasks),
        ("restarted calls", engine.restarted_calls),
        ("unexpected results", engine.unexpected),
        ("clashing answers", engine.clashes),
    ]
    .into_iter()
    .map(|(name, value)| vec![name.to_owned(), value.to_string()])
    .collect();
    counters.push(vec!["system calls".to_owned(), stats.calls.clone()]);
    counters.push(vec!["idle CPUs".to_owned(), stats.idle_cpus.clone()]);
    let megabytes = stats.peak_memory as f64 / f64::from(1 << 20);
    counters.push(vec![
        "peak memory".to_owned(),
        format!("{megabytes:.1} MiB"),
    ]);

    let head = [
        "plugin", "stops", "notices", "lost", "time", "held", "longest", "polls", "calls", "output",
    ];
    let mut plugins = vec![head.map(str::to_owned).to_vec()];
    plugins.extend(stats.plugins.iter().map(row));
    format!(
        "{}\n{}",
        message::table(&counters, 1),
        message::table(&plugins, 1)
    )
}

fn row(plugin: &PluginStats) -> Vec<String> {
    let client = &plugin.client;
    let time = |nanos| format!("{:.1?}", Duration::from_nanos(nanos));
    vec![
        match plugin.failed {
            true => format!("{} (failed)", plugin.name),
            false => plugin.name.clone(),
        },
        client.stops.to_string(),
        client.notices.to_string(),
        client.lost.to_string(),
        format!("{:.1?}", plugin.wasm_time),
        time(client.held_total),
        time(client.held_longest),
        plugin.polls.to_string(),
        plugin.host_calls.to_string(),
        plugin.output_bytes.to_string(),
    ]
}

/// Times are in nanoseconds.
fn data(stats: &SessionStats) -> Value {
    let engine = &stats.engine;
    let plugins: Vec<Value> = stats
        .plugins
        .iter()
        .map(|plugin| {
            let client = &plugin.client;
            json!({
                "name": plugin.name,
                "failed": plugin.failed,
                "stops": client.stops,
                "notices": client.notices,
                "lost": client.lost,
                "time": u64::try_from(plugin.wasm_time.as_nanos()).unwrap_or(u64::MAX),
                "held_total": client.held_total,
                "held_longest": client.held_longest,
                "polls": plugin.polls,
                "host_calls": plugin.host_calls,
                "output_bytes": plugin.output_bytes,
            })
        })
        .collect();
    json!({
        "stops": engine.stops,
        "syscall_stops": engine.syscall_stops,
        "signals": engine.signals,
        "processes": engine.processes,
        "tasks": engine.tasks,
        "breakpoints": engine.breakpoints,
        "steps_in_place": engine.steps_in_place,
        "restarted_calls": engine.restarted_calls,
        "unexpected": engine.unexpected,
        "clashes": engine.clashes,
        "system_calls": stats.calls,
        "idle_cpus": stats.idle_cpus,
        "peak_memory": stats.peak_memory,
        "plugins": plugins,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> SessionStats {
        let mut stats = SessionStats::default();
        stats.engine.stops = 12;
        stats.plugins.push(PluginStats {
            name: "demo".into(),
            wasm_time: Duration::from_micros(1500),
            ..PluginStats::default()
        });
        stats
    }

    #[test]
    fn people_get_tables() {
        let text = tables(&example());
        assert!(text.starts_with("stops                    12\n"), "{text}");
        assert!(
            text.contains("\n\nplugin  stops  notices  lost   time"),
            "{text}"
        );
        assert!(
            text.contains("\ndemo        0        0     0  1.5ms  0.0ns"),
            "{text}"
        );
    }

    #[test]
    fn machines_get_numbers() {
        let data = data(&example());
        assert_eq!(data["stops"], 12);
        assert_eq!(data["plugins"][0]["time"], 1_500_000);
        assert_eq!(data["plugins"][0]["failed"], false);
    }
}
