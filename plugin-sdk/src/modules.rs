//! Programs and libraries as they are loaded, and the functions in them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::{Rc, Weak};

use crate::bindings::pai::plugin::events::{Event, FunctionEvent};
use crate::bindings::pai::plugin::symbols::{Module, Symbol};
use crate::bindings::pai::plugin::types::Pid;
use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::handlers::{CallFn, HandlerId, OnCall, OnNotice, OnReturn, ReturnFn};

/// A function that does nothing, which loaders call when they have loaded or
/// unloaded something (glibc's and musl's link.h: r_brk of r_debug).
const LOADER_TELLS: &str = "_dl_debug_state";

type ModulesFn<S> = dyn Fn(&mut Client<S>, Pid, &[Module]) -> Result<()>;

/// What is known of each process.
struct Images<S> {
    handler: Rc<ModulesFn<S>>,
    of: RefCell<BTreeMap<Pid, Image>>,
}

/// One executed program. Processes that are forked from it have copies.
#[derive(Clone, Default)]
struct Image {
    /// Handlers that are there from the start.
    first: Batch,
    known: Vec<(Place, Batch)>,
}

/// Where a module is, and which.
type Place = (u64, String);

/// Handlers with breakpoints or hooks that were made together. They go with the
/// last module that they were made for, in the last process that has it.
pub(crate) type Batch = Rc<RefCell<Vec<HandlerId>>>;

impl<S: 'static> Images<S> {
    /// A program begins, or was found running.
    fn begin(self: &Rc<Self>, client: &mut Client<S>, pid: Pid) -> Result<()> {
        self.end(client, pid);
        let first = Batch::default();
        let watched = client.make_in(Some(&first), |client| {
            if let Some(symbol) = client.lookup(pid, LOADER_TELLS)? {
                self.look_at(client, pid, symbol.value, OnCall::Proceed)?;
            }
            // For loaders that do not tell.
            let entry = client.entry(pid)?;
            self.look_at(client, pid, entry, OnCall::Remove)
        });
        let image = Image {
            first,
            known: Vec::new(),
        };
        self.of.borrow_mut().insert(pid, image);
        match watched {
            Ok(()) => self.look(client, pid),
            Err(error) if matches!(error.kind(), ErrorKind::Unsupported(_)) => {
                crate::log!(Warn, "process {pid} is passed over: {error}");
                Ok(())
            }
            Err(error) => unless_gone(error),
        }
    }

    fn look_at(
        self: &Rc<Self>,
        client: &mut Client<S>,
        pid: Pid,
        addr: u64,
        answer: OnCall,
    ) -> Result<()> {
        let images = Rc::clone(self);
        // No breakpoint: the plugin may have one of its own there.
        client.on_call(pid, addr, move |client, call| {
            images.look(client, call.pid)?;
            Ok(answer)
        })?;
        Ok(())
    }

    /// Calls the handler if there is something new.
    fn look(&self, client: &mut Client<S>, pid: Pid) -> Result<()> {
        let modules = match client.modules(pid) {
            Ok(modules) => modules,
            Err(error) => return unless_gone(error),
        };
        let place = |module: &Module| (module.base, module.path.clone());
        let now: BTreeSet<Place> = modules.iter().map(place).collect();
        let batch = Batch::default();
        let mut gone = Vec::new();
        let mut fresh = modules;
        match self.of.borrow_mut().get_mut(&pid) {
            Some(image) => {
                gone.extend(image.known.extract_if(.., |(at, _)| !now.contains(at)));
                fresh.retain(|module| !image.known.iter().any(|(at, _)| *at == place(module)));
                let fresh = fresh
                    .iter()
                    .map(|module| (place(module), Rc::clone(&batch)));
                image.known.extend(fresh);
            }
            None => return Ok(()),
        }
        remove(client, gone.into_iter().map(|(_, batch)| batch));
        if fresh.is_empty() {
            return Ok(());
        }
        let handled = client.make_in(Some(&batch), |client| (self.handler)(client, pid, &fresh));
        handled.or_else(unless_gone)
    }

    /// The program of a process ends.
    fn end(&self, client: &mut Client<S>, pid: Pid) {
        let image = self.of.borrow_mut().remove(&pid);
        if let Some(Image { first, known }) = image {
            let batches = known.into_iter().map(|(_, batch)| batch);
            remove(client, batches.chain([first]));
        }
    }
}

/// Removes the handlers of batches that nobody else has.
fn remove<S: 'static>(client: &mut Client<S>, batches: impl Iterator<Item = Batch>) {
    let own = batches.filter_map(Rc::into_inner);
    for handler in own.flat_map(RefCell::into_inner) {
        client.remove(handler);
    }
}

/// A process that ends is no failure.
fn unless_gone(error: Error) -> Result<()> {
    match error.kind() {
        ErrorKind::NoSuchProcess(_) | ErrorKind::NoSuchTask(_) => Ok(()),
        _ => Err(error),
    }
}

impl<S: 'static> Client<S> {
    /// Notes in a batch which handlers with breakpoints or hooks are made.
    fn make_in<T>(
        &mut self,
        batch: Option<&Batch>,
        make: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let around = std::mem::replace(&mut self.batch, batch.cloned());
        let result = make(self);
        self.batch = around;
        result
    }

    /// For each process, with what can be hooked in it: with all of its modules at
    /// once when it was attached to or executes a program, and with others as soon
    /// as they are loaded. Of the libraries that a program was linked with, no
    /// function has been called then, except for those of the dynamic loader.
    ///
    /// Breakpoints and hooks that the handler makes are removed with the modules, when
    /// no process has them any more. Processes that are forked have those of their parents:
    /// the handler is not called for them until they load or execute something.
    /// It is not called for 32-bit programs. Capabilities `control`,
    /// `memory-read`.
    ///
    /// # Errors
    /// When the session is over; the first error of the handler.
    pub fn on_modules(
        &mut self,
        handler: impl Fn(&mut Self, Pid, &[Module]) -> Result<()> + 'static,
    ) -> Result<()> {
        let images = Rc::new(Images {
            handler: Rc::new(handler),
            of: RefCell::default(),
        });
        let at_exec = Rc::clone(&images);
        self.on_exec(move |client, event| {
            if let Event::Execed(exec) = event {
                at_exec.begin(client, exec.pid)?;
            }
            Ok(OnNotice::Proceed)
        })?;
        let at_fork = Rc::clone(&images);
        self.on_fork(move |_, event| {
            if let Event::Forked(fork) = event
                && fork.followed
            {
                let mut images = at_fork.of.borrow_mut();
                if let Some(image) = images.get(&fork.pid).cloned() {
                    images.insert(fork.child, image);
                }
            }
            Ok(OnNotice::Proceed)
        })?;
        let at_end = Rc::clone(&images);
        self.on_process_exited(move |client, event| {
            if let Event::ProcessExited(end) = event {
                at_end.end(client, end.pid);
            }
            Ok(OnNotice::Proceed)
        })?;
        for target in self.targets()? {
            if target.attached {
                images.begin(self, target.pid)?;
            }
        }
        Ok(())
    }

    /// Functions in these modules with a name that fits a shell pattern,
    /// `MODULE!PATTERN` too; one for each address.
    ///
    /// # Errors
    /// `no-such-process`, `invalid`.
    pub fn functions_in(&self, pid: Pid, modules: &[Module], pattern: &str) -> Result<Vec<Symbol>> {
        let mut seen = BTreeSet::new();
        let mut found = self.search(pid, pattern)?;
        found.retain(|symbol| {
            let in_one = |module: &Module| (module.base..module.end).contains(&symbol.value);
            matches!(symbol.kind.as_str(), "function" | "ifunc")
                // They lead to functions that have names of their own.
                && !symbol.name.ends_with("@plt")
                && modules.iter().any(in_one)
                && seen.insert(symbol.value)
        });
        Ok(found)
    }

    /// As [`Client::on_function`]. Of an indirect function, which is chosen when
    /// it is first needed, it is the one that will be chosen.
    ///
    /// # Errors
    /// As [`Client::on_function`].
    pub fn on_symbol(
        &mut self,
        pid: Pid,
        symbol: &Symbol,
        enter: impl Fn(&mut Self, &FunctionEvent) -> Result<OnCall> + 'static,
        leave: impl Fn(&mut Self, &FunctionEvent) -> Result<OnReturn> + 'static,
    ) -> Result<HandlerId> {
        let enter: Rc<CallFn<S>> = Rc::new(enter);
        let leave: Rc<ReturnFn<S>> = Rc::new(leave);
        if symbol.kind != "ifunc" {
            return self.hook_entry(pid, symbol.value, enter, leave);
        }
        let batch = self.batch.as_ref().map(Rc::downgrade);
        self.on_return(pid, symbol.value, move |client, call| {
            if let Some(chosen) = call.ret {
                let (enter, leave) = (Rc::clone(&enter), Rc::clone(&leave));
                let batch = batch.as_ref().and_then(Weak::upgrade);
                client.make_in(batch.as_ref(), |client| {
                    client.hook_entry(call.pid, chosen, enter, leave)
                })?;
            }
            Ok(OnReturn::Remove)
        })
    }
}
