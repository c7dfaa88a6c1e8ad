//! WASI 0.2 with every door closed.
//!
//! The Rust standard library imports a good part of it, so it is all there: no
//! files, no network, no environment, no input. What a guest prints goes where
//! the plugin's output and log go.
//!
//! The bindings are the asynchronous ones, but nothing in them waits for an
//! executor: streams are always ready, and the clock is ours. A guest that
//! sleeps suspends its fiber, and whoever polls it knows until when.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use send_wrapper::SendWrapper;
use wasmtime::component::{HasSelf, Linker, Resource};
use wasmtime_wasi::p2::bindings::cli::{stderr, stdout};
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock;
use wasmtime_wasi::p2::bindings::random::insecure_seed;
use wasmtime_wasi::p2::{
    DynOutputStream, DynPollable, OutputStream, Pollable, StreamResult, subscribe,
};
use wasmtime_wasi::random::WasiRandom;
use wasmtime_wasi::{WasiCtx, WasiView, async_trait};

use super::drive::Drive;
use super::seat::Seat;
use super::state::State;

/// Bytes that a stream takes at once, and of a line before it is cut.
const ROOM: usize = 64 << 10;

/// A context that gives nothing.
pub(crate) fn closed() -> WasiCtx {
    WasiCtx::builder()
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .build()
}

/// Links what a plugin with these imports can use of WASI: all of it takes as
/// long as the rest of a start, and most plugins want none.
pub(crate) fn add_to_linker(
    linker: &mut Linker<State>,
    imports: &[String],
) -> wasmtime::Result<()> {
    let mut wanted = imports
        .iter()
        .filter(|import| import.starts_with("wasi:"))
        .peekable();
    if wanted.peek().is_none() {
        return Ok(());
    }
    // The standard library's hash tables ask for a seed.
    if wanted.all(|import| import.starts_with("wasi:random/insecure-seed@")) {
        return insecure_seed::add_to_linker::<State, WasiRandom>(linker, |state| {
            state.ctx().ctx.random()
        });
    }
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    linker.allow_shadowing(true);
    monotonic_clock::add_to_linker::<State, HasSelf<State>>(linker, |state| state)?;
    stdout::add_to_linker::<State, HasSelf<State>>(linker, |state| state)?;
    stderr::add_to_linker::<State, HasSelf<State>>(linker, |state| state)?;
    linker.allow_shadowing(false);
    Ok(())
}

impl monotonic_clock::Host for State {
    fn now(&mut self) -> wasmtime::Result<monotonic_clock::Instant> {
        self.enter();
        Ok(pai_ptrace::monotonic_nanos())
    }

    fn resolution(&mut self) -> wasmtime::Result<monotonic_clock::Duration> {
        self.enter();
        Ok(1)
    }

    fn subscribe_instant(
        &mut self,
        when: monotonic_clock::Instant,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        let wait = when.saturating_sub(pai_ptrace::monotonic_nanos());
        self.subscribe_duration(wait)
    }

    fn subscribe_duration(
        &mut self,
        wait: monotonic_clock::Duration,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        let drive = Rc::clone(&self.enter().drive);
        let sleep = self.table.push(Sleep {
            until: Instant::now().checked_add(Duration::from_nanos(wait)),
            drive: SendWrapper::new(drive),
        })?;
        subscribe(&mut self.table, sleep)
    }
}

/// A time that a guest waits for.
struct Sleep {
    /// `None` is for ever.
    until: Option<Instant>,
    drive: SendWrapper<Rc<Drive>>,
}

#[async_trait]
impl Pollable for Sleep {
    async fn ready(&mut self) {
        let until = self.until;
        let drive = &self.drive;
        poll_fn(|_| match drive.slept(until) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }
}

impl stdout::Host for State {
    fn get_stdout(&mut self) -> wasmtime::Result<Resource<DynOutputStream>> {
        self.lines(Kind::Output)
    }
}

impl stderr::Host for State {
    fn get_stderr(&mut self) -> wasmtime::Result<Resource<DynOutputStream>> {
        self.lines(Kind::Log)
    }
}

impl State {
    fn lines(&mut self, kind: Kind) -> wasmtime::Result<Resource<DynOutputStream>> {
        self.enter();
        let stream: DynOutputStream = Box::new(Stream(Arc::clone(match kind {
            Kind::Output => &self.stdio.output,
            Kind::Log => &self.stdio.log,
        })));
        Ok(self.table.push(stream)?)
    }
}

#[derive(Clone, Copy)]
enum Kind {
    /// Standard output: the plugin's output.
    Output,
    /// Standard error: the host's log, and kept for the case that it is the
    /// message of a panic.
    Log,
}

/// Where the guest's streams go. A guest may ask for a stream for every piece
/// that it prints, so lines are put together here.
pub(crate) struct Stdio {
    output: Arc<Mutex<Lines>>,
    log: Arc<Mutex<Lines>>,
}

impl Stdio {
    pub(crate) fn new(seat: &Arc<Seat>) -> Self {
        let lines = |kind| {
            Arc::new(Mutex::new(Lines {
                kind,
                seat: Arc::clone(seat),
                line: Vec::new(),
            }))
        };
        Self {
            output: lines(Kind::Output),
            log: lines(Kind::Log),
        }
    }
}

/// Text of the guest, passed on line by line.
struct Lines {
    kind: Kind,
    seat: Arc<Seat>,
    line: Vec<u8>,
}

impl Lines {
    /// Passes on everything up to the last newline.
    fn pass_on(&mut self) {
        if let Some(end) = self.line.iter().rposition(|byte| *byte == b'\n') {
            let rest = self.line.split_off(end + 1);
            let lines = std::mem::replace(&mut self.line, rest);
            self.say(&lines);
        }
        if self.line.len() >= ROOM {
            let line = std::mem::take(&mut self.line);
            self.say(&line);
        }
    }

    fn say(&self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        match self.kind {
            Kind::Output => self.seat.print(None, &text),
            Kind::Log => {
                for line in text.lines() {
                    self.seat.log(tracing::Level::WARN, line);
                }
            }
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.say(&self.line);
        }
    }
}

/// One handle of the guest.
struct Stream(Arc<Mutex<Lines>>);

impl OutputStream for Stream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.line.extend_from_slice(&bytes);
        lines.pass_on();
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        // A line that is not finished stays: `print!` flushes after each piece.
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(ROOM)
    }
}

#[async_trait]
impl Pollable for Stream {
    async fn ready(&mut self) {}
}
