//! One run of one plugin: a future that owns its store.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use wasmtime::Store;

use super::bindings::Component;
use super::drive::{Drive, GivenUp, Pause};
use super::failure::{self, Cause};
use super::seat::Seat;
use super::state::{Local, State};
use super::ticker::Clock;

/// What a guest may make the host allocate in one call, for its arguments.
const MOST_ARGUMENTS: usize = 64 << 20;

/// What came of a poll.
#[derive(Debug)]
pub(crate) enum Step {
    /// It gave up the thread, for this reason.
    Paused(Pause),
    /// It is done, or was ended; a failure was told to the user.
    Ended,
}

type Run = Pin<Box<dyn Future<Output = wasmtime::Result<Result<(), String>>>>>;

/// See the module.
pub(crate) struct Guest {
    /// Gone when it has ended.
    run: Option<Run>,
    pub(crate) drive: Rc<Drive>,
    pub(crate) seat: Arc<Seat>,
    clock: Clock,
    polls: u64,
}

impl Guest {
    /// Nothing of the plugin is executed before the first [`Guest::step`].
    pub(crate) fn new(
        component: &Component<State>,
        seat: Arc<Seat>,
        local: Local,
        clock: Clock,
    ) -> Self {
        let drive = Rc::clone(&local.drive);
        let state = State::new(Arc::clone(&seat), local);
        Self {
            run: Some(Box::pin(run(component.clone(), state))),
            drive,
            seat,
            clock,
            polls: 0,
        }
    }

    /// Executes the plugin until it waits for something, or was long enough at
    /// it.
    pub(crate) fn step(&mut self) -> Step {
        let Some(run) = &mut self.run else {
            return Step::Ended;
        };
        let running = self.clock.start();
        self.drive.go_inside();
        // Whatever wakes it, it is polled when its pause is over.
        let mut context = Context::from_waker(Waker::noop());
        let polled = catch_unwind(AssertUnwindSafe(|| run.as_mut().poll(&mut context)));
        self.drive.come_outside();
        self.polls += 1;
        drop(running);
        match polled {
            Ok(Poll::Pending) => match self.drive.pause.get() {
                Pause::None => self.fail(Cause::Stranded),
                pause => Step::Paused(pause),
            },
            Ok(Poll::Ready(Ok(Ok(())))) => {
                self.end();
                Step::Ended
            }
            Ok(Poll::Ready(Ok(Err(text)))) => self.fail(Cause::Returned(text)),
            // The user wanted the end, which is no failure of the plugin.
            Ok(Poll::Ready(Err(error))) if error.is::<GivenUp>() => {
                self.end();
                Step::Ended
            }
            Ok(Poll::Ready(Err(error))) => match failure::exit_code(&error) {
                Some(0) => {
                    self.end();
                    Step::Ended
                }
                _ => self.fail(Cause::Trapped(error)),
            },
            Err(_) => self.fail(Cause::HostPanicked),
        }
    }

    /// Takes the plugin out of the session, and tells the user why.
    pub(crate) fn fail(&mut self, cause: Cause) -> Step {
        self.end();
        let failure = failure::explain(&self.seat, self.drive.refused.get(), cause);
        failure::tell(&self.seat, &failure);
        self.seat.failed(failure);
        Step::Ended
    }

    /// Lets go of the store.
    pub(crate) fn end(&mut self) {
        // Its last words come out when its streams are dropped.
        self.run = None;
        let totals = &self.seat.totals;
        totals
            .wasm_nanos
            .store(self.drive.nanos.get(), Ordering::Relaxed);
        totals.polls.store(self.polls, Ordering::Relaxed);
        totals
            .calls
            .store(self.drive.calls.get(), Ordering::Relaxed);
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.end();
    }
}

async fn run(component: Component<State>, state: State) -> wasmtime::Result<Result<(), String>> {
    let mut store = Store::new(component.engine(), state);
    store.limiter(|state| &mut state.limiter);
    store.set_hostcall_fuel(MOST_ARGUMENTS);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|context| context.data().drive().tick());
    let instance = component.instantiate_async(&mut store).await?;
    instance.call_run(&mut store).await
}
