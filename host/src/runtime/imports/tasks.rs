//! `tasks`: processes and tasks of the session.

use crate::runtime::bindings::tasks::{Host, Target, Task};
use crate::runtime::bindings::types::{Error, Pid, Tid};
use crate::runtime::capability::Capability;
use crate::runtime::convert;
use crate::runtime::state::State;

impl Host for State {
    fn targets(&mut self) -> Result<Vec<Target>, Error> {
        let targets = self.anywhere(|engine, _| Ok(engine.targets()))?;
        Ok(targets.into_iter().map(Into::into).collect())
    }

    fn list(&mut self, pid: Option<Pid>) -> Result<Vec<Task>, Error> {
        let pid = pid.map(convert::pid).transpose()?;
        let tasks = self.anywhere(move |engine, _| engine.tasks(pid))?;
        Ok(tasks.into_iter().map(Into::into).collect())
    }

    fn get(&mut self, tid: Tid) -> Result<Task, Error> {
        let tid = convert::tid(tid)?;
        let task = self.anywhere(move |engine, _| engine.task(tid))?;
        Ok(task.into())
    }

    fn descriptor(&mut self, pid: Pid, fd: i32) -> Result<Vec<u8>, Error> {
        self.require(Capability::MemoryRead)?;
        let pid = convert::pid(pid)?;
        self.anywhere(move |engine, _| engine.descriptor(pid, fd))
    }
}
