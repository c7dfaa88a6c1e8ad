//! A plugin that takes part: a fiber on the tracer thread.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use pai_engine::{Client, ClientId, Engine, Event, Fatal, Served};

use super::bindings::Component;
use super::drive::{Drive, Pause};
use super::guest::{Guest, Step};
use super::seat::Seat;
use super::state::{Local, Place, State};
use super::ticker::Clock;

/// Notices kept for a plugin that sleeps; more are dropped and counted.
const MOST_BACKLOG: usize = 65_536;

/// See the module.
pub(crate) struct Participant {
    guest: Guest,
    /// It was told that sleeping is no way to wait.
    warned: bool,
    lost: u64,
}

impl Participant {
    pub(crate) fn new(
        component: &Component<State>,
        seat: Arc<Seat>,
        client: ClientId,
        engine: Rc<RefCell<Engine>>,
        clock: Clock,
    ) -> Self {
        let drive = Drive::new(&seat);
        let local = Local {
            drive: Rc::new(drive),
            client,
            place: Place::Tracer(engine),
        };
        Self {
            guest: Guest::new(component, seat, local, clock),
            warned: false,
            lost: 0,
        }
    }

    /// Takes in what came during a sleep; whether it is over.
    fn is_awake(&mut self, id: ClientId, engine: &mut Engine) -> bool {
        let drive = &self.guest.drive;
        let mut backlog = drive.backlog.borrow_mut();
        let mut awake = false;
        while let Some(delivery) = engine.take_mail(id) {
            match &delivery.event {
                Event::Timeout => {
                    awake = true;
                    continue;
                }
                // Nobody sleeps longer than the session.
                Event::Ended(_) => awake = true,
                _ if backlog.len() >= MOST_BACKLOG => {
                    self.lost += 1;
                    continue;
                }
                _ => {}
            }
            backlog.push_back(delivery);
        }
        if awake && self.lost > 0 {
            let event = Event::Lost(std::mem::take(&mut self.lost));
            backlog.push_front(pai_engine::Delivery { stop: None, event });
        }
        awake
    }

    /// Its stops go on without it.
    fn fall_asleep(&mut self, id: ClientId, engine: &mut Engine) {
        engine.set_absent(id, true);
        engine.set_waiting(id, self.guest.drive.wake_at.get());
        if !self.warned {
            self.warned = true;
            let seat = &self.guest.seat;
            let text = format!(
                "plugin {} sleeps through WASI; its stops go on without it",
                seat.name
            );
            seat.notes.tell(Some(&seat.name), &text);
        }
    }
}

impl Client for Participant {
    fn serve(&mut self, id: ClientId, engine: &RefCell<Engine>) -> Result<Served, Fatal> {
        let drive = &self.guest.drive;
        if drive.flags.given_up() {
            self.guest.end();
            return Ok(Served::Finished);
        }
        match drive.pause.get() {
            Pause::Next => {
                let Some(delivery) = engine.borrow_mut().take_mail(id) else {
                    return Ok(Served::Waiting);
                };
                drive.mail.set(Some(delivery));
            }
            Pause::Asleep => {
                let mut engine = engine.borrow_mut();
                if !self.is_awake(id, &mut engine) {
                    engine.set_waiting(id, self.guest.drive.wake_at.get());
                    return Ok(Served::Waiting);
                }
                engine.set_absent(id, false);
                self.guest.drive.resume();
            }
            Pause::Slice | Pause::None => drive.resume(),
        }
        let step = self.guest.step();
        if let Some(fatal) = self.guest.drive.fatal.take() {
            return Err(fatal);
        }
        Ok(match step {
            Step::Ended => {
                if self.guest.seat.has_failed() {
                    engine.borrow_mut().note_failure();
                }
                Served::Finished
            }
            Step::Paused(Pause::Slice) => Served::Busy,
            Step::Paused(Pause::Asleep) => {
                self.fall_asleep(id, &mut engine.borrow_mut());
                Served::Waiting
            }
            Step::Paused(_) => Served::Waiting,
        })
    }
}
