//! `observe`: batches of records, on the observer's own thread.

use std::time::Duration;

use pai_engine::observe::Overflow;
use pai_engine::{End, Event};

use crate::runtime::bindings::events::Topic;
use crate::runtime::bindings::observe::{self, Batch, Host};
use crate::runtime::bindings::types::Error;
use crate::runtime::capability::Capability;
use crate::runtime::convert;
use crate::runtime::imports::client::MOST_SUBSCRIPTIONS;
use crate::runtime::state::{Observing, Place, Stage, State};

/// How long the targets wait for a slow observer that may block them.
const HELD_LIMIT: Duration = Duration::from_secs(1);
/// Records of one batch: what a guest's memory takes in one piece.
const MOST_RECORDS: u32 = 1 << 16;
const CAPACITIES: std::ops::RangeInclusive<u32> = 64..=1 << 20;

impl Host for State {
    fn open(
        &mut self,
        topics: Vec<Topic>,
        capacity: u32,
        overflow: observe::Overflow,
    ) -> Result<(), Error> {
        let overflow = match overflow {
            observe::Overflow::Drop => Overflow::Drop,
            observe::Overflow::Block => {
                self.require(Capability::Control)?;
                Overflow::Block(HELD_LIMIT)
            }
            observe::Overflow::Other(name) => {
                return Err(Error::Unsupported(format!("the overflow {name:?}")));
            }
        };
        if !CAPACITIES.contains(&capacity) {
            return Err(Error::Invalid(format!(
                "a capacity of {capacity} records is not between {} and {}",
                CAPACITIES.start(),
                CAPACITIES.end()
            )));
        }
        if topics.len() > MOST_SUBSCRIPTIONS {
            return Err(Error::Limit("subscriptions".to_owned()));
        }
        let topics: Result<Vec<_>, Error> =
            topics.into_iter().map(|topic| self.topic(topic)).collect();
        let topics = topics?;
        let apart = self.apart()?;
        if apart.stage != Stage::New {
            return Err(Error::Invalid("it is open already".to_owned()));
        }
        apart.consumer.configure(capacity as usize, overflow);
        apart.stage = Stage::Opened;
        self.while_it_lasts(move |engine, client| {
            for topic in topics {
                engine.subscribe(client, topic)?;
            }
            Ok(())
        })
    }

    fn next_batch(&mut self, max: u32, max_wait: u64) -> Result<Batch, Error> {
        self.enter();
        if let Some(end) = &*self.drive().end.borrow() {
            return Err(convert::over(Some(end)));
        }
        match self.apart()?.stage {
            Stage::New => return Err(Error::Invalid("it is not open".to_owned())),
            Stage::Opened => {
                self.apart()?.stage = Stage::Ready;
                self.while_it_lasts(|engine, client| {
                    engine.set_waiting(client, None);
                    Ok(())
                })?;
            }
            Stage::Ready => {}
        }
        let max = max.clamp(1, MOST_RECORDS) as usize;
        // It waits for the targets here, which costs it nothing.
        self.drive().come_outside();
        let apart = self.apart()?;
        apart.clock.pause();
        let batch = apart
            .consumer
            .next_batch(max, Duration::from_nanos(max_wait));
        let end = batch.last.then(|| last_words(&batch));
        let batch = batch.into();
        apart.clock.go_on();
        let drive = self.drive();
        drive.go_inside();
        drive.refresh();
        if end.is_some() {
            *drive.end.borrow_mut() = end;
        }
        Ok(batch)
    }
}

impl State {
    /// A topic, if the plugin may have it.
    pub(crate) fn topic(&mut self, topic: Topic) -> Result<pai_engine::Topic, Error> {
        if let Topic::Syscalls(filter) = &topic
            && filter.capture.is_some()
        {
            self.require(Capability::MemoryRead)?;
        }
        convert::topic(topic)
    }

    fn apart(&mut self) -> Result<&mut Observing, Error> {
        match &mut self.local_mut().place {
            Place::Apart(apart) => Ok(apart),
            // Not linked for plugins that take part.
            Place::Tracer(_) => Err(convert::internal("a plugin asked for batches".into())),
        }
    }
}

/// How the session ended, said by the last event of the last batch.
fn last_words(batch: &pai_engine::observe::Batch<'_>) -> End {
    match batch.others().last() {
        Some((_, Event::Ended(end))) => end.clone(),
        _ => End::Detached,
    }
}
