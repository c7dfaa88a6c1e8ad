//! A plugin that only watches: a thread of its own.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use pai_engine::observe::Consumer;
use pai_engine::{ClientId, Remote};

use super::bindings::Component;
use super::drive::{Drive, Pause};
use super::guest::{Guest, Step};
use super::seat::Seat;
use super::state::{Local, Observing, Place, Stage, State};
use super::ticker::Clock;

/// See the module.
#[derive(Debug)]
pub(crate) struct Observer {
    thread: JoinHandle<()>,
    done: Arc<AtomicBool>,
}

/// What its thread is made of.
pub(crate) struct Parts {
    pub(crate) component: Component<State>,
    pub(crate) seat: Arc<Seat>,
    pub(crate) client: ClientId,
    pub(crate) remote: Remote,
    pub(crate) consumer: Consumer,
    pub(crate) clock: Clock,
}

impl Observer {
    /// Starts the thread.
    pub(crate) fn start(parts: Parts) -> std::io::Result<Self> {
        let done = Arc::new(AtomicBool::new(false));
        let thread = thread::Builder::new()
            .name(format!("pai-{}", parts.seat.name))
            .spawn({
                let done = Arc::clone(&done);
                move || {
                    let flags = Arc::clone(&parts.seat.flags);
                    watch(parts);
                    done.store(true, Ordering::Release);
                    flags.notify();
                }
            })?;
        Ok(Self { thread, done })
    }

    pub(crate) fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }

    /// Waits for its end.
    pub(crate) fn join(self) {
        if self.thread.join().is_err() {
            tracing::error!(target: "pai::host", "the thread of an observer panicked");
        }
    }
}

/// The target starts without a plugin that sleeps first.
fn wait_no_longer(seat: &Seat, client: ClientId, remote: &Remote) {
    if remote.call(move |engine| engine.set_ready(client)) == Some(true) {
        let text = format!(
            "plugin {} sleeps through WASI; the target starts without it",
            seat.name
        );
        seat.notes.tell(Some(&seat.name), &text);
    }
}

fn watch(parts: Parts) {
    let Parts {
        component,
        seat,
        client,
        remote,
        consumer,
        clock,
    } = parts;
    let drive = Rc::new(Drive::new(&seat));
    let local = Local {
        drive: Rc::clone(&drive),
        client,
        place: Place::Apart(Observing {
            remote: remote.clone(),
            consumer,
            clock: clock.clone(),
            stage: Stage::New,
        }),
    };
    let mut guest = Guest::new(&component, seat, local, clock);
    drive.resume();
    let mut slept = false;
    loop {
        match guest.step() {
            Step::Ended => break,
            Step::Paused(Pause::Asleep) => {
                if !std::mem::replace(&mut slept, true) {
                    wait_no_longer(&guest.seat, client, &remote);
                }
                let flags = Arc::clone(&drive.flags);
                let until = drive.wake_at.get();
                flags.wait(until, || flags.is_over() || flags.given_up());
                drive.resume();
            }
            // The thread is its own: there is nobody to give way to.
            Step::Paused(_) => drive.pause.set(Pause::None),
        }
        if drive.flags.given_up() {
            break;
        }
    }
    // Its consumer is dropped first, so that nobody waits for it to read.
    let failed = guest.seat.has_failed();
    drop(guest);
    let told = remote.call(move |engine| {
        if failed {
            engine.note_failure();
        }
        engine.remove_client(client);
    });
    if told.is_none() {
        tracing::trace!(target: "pai::host", "the session was over first");
    }
}
