//! Measures how long it takes to load an object and to ask about it:
//! `figures FILE [NAME]`.

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use pai_symbols::{DebugSearch, Object, Pattern, Source};

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    say(what, start.elapsed());
    result
}

fn say(what: &str, took: Duration) {
    // The reader may have gone; nothing is lost then.
    drop(writeln!(std::io::stdout(), "{what:44} {took:>12.2?}"));
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let file = args.next().ok_or("which file?")?;
    let name = args.next().unwrap_or_else(|| "main".to_owned());
    let source = Source::open(Path::new(&file), &file)?;
    let object = Object::open(source, DebugSearch::default())?;
    let found = timed("first look-up by name", || {
        object.by_name(name.as_bytes()).map(|symbol| symbol.value)
    });
    say(
        &format!("  of {} symbols", object.symbol_count()),
        Duration::ZERO,
    );
    let all: Vec<Vec<u8>> = object.symbols().map(|s| s.name.to_vec()).collect();
    let names: Vec<&Vec<u8>> = all.iter().step_by(all.len() / 10_000 + 1).collect();
    let start = Instant::now();
    let hits = names.iter().filter(|name| object.by_name(name).is_some());
    let hits = hits.count();
    let rounds = u32::try_from(names.len().max(1))?;
    say(
        &format!("each of {hits} look-ups by name"),
        start.elapsed() / rounds,
    );
    timed("first look-up by a name in the source", || {
        object.by_demangled("x::y")
    });
    timed("second look-up by a name in the source", || {
        object.by_demangled("x::y")
    });
    let pattern = Pattern::new(b"*mem*").ok_or("a pattern")?;
    let fits = timed("search for *mem*", || {
        object.search(&pattern, false).map(|f| f.len())
    })?;
    say(&format!("  found {fits}"), Duration::ZERO);
    let address = found.unwrap_or(object.entry());
    timed("first look-up by address", || object.at(address));
    timed("second look-up by address", || object.at(address));
    timed("list of functions", || object.functions().len());
    let frames = timed("first line", || object.locate(address))?;
    say(&format!("  {frames:?}"), Duration::ZERO);
    timed("second line", || object.locate(address))?;
    say(&format!("  damage: {:?}", object.damage()), Duration::ZERO);
    Ok(())
}
