//! Clients that hook functions which a fixture tells, and what they see.

use std::cell::RefCell;
use std::collections::BTreeMap;

use pai_engine::{
    Action, ClientId, Delivery, Engine, Event, FunctionCall, HookId, HookOptions, HookSite,
};
use pai_ptrace::Tid;

use crate::probe::{Told, tells, told};
use crate::trace::{Trace, Traced};

/// Entries and returns, of all threads.
pub const BOTH: HookOptions = HookOptions {
    enter: true,
    leave: true,
    tid: None,
};

/// An entry or a return of a hooked function.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What the fixture calls it.
    pub name: &'static str,
    /// Or a return.
    pub entry: bool,
    /// What the event says.
    pub call: FunctionCall,
    /// The first six integer arguments; only at the entry.
    pub args: [u64; 6],
}

/// Of a hooked function: whether it is an entry, and what the event says.
pub fn entry_or_return(event: &Event) -> Option<(bool, FunctionCall)> {
    match event {
        Event::FunctionEnter(call) => Some((true, **call)),
        Event::FunctionReturn(call) => Some((false, **call)),
        _ => None,
    }
}

/// What one client has seen.
#[derive(Default, Debug)]
pub struct Hooks {
    /// Of hooked functions, by address.
    pub names: RefCell<BTreeMap<u64, &'static str>>,
    /// In the order in which they were made.
    pub ids: RefCell<Vec<HookId>>,
    /// In the order in which it was seen.
    pub seen: RefCell<Vec<Seen>>,
}

/// What a fixture tells, and how that is called.
pub type Names<'a> = &'a [(u64, &'a [&'static str])];

impl Hooks {
    /// Hooks what is told, and notes what is seen.
    pub fn serve(
        &self,
        names: Names<'_>,
        options: HookOptions,
        engine: &mut Engine,
        client: ClientId,
        delivery: &Delivery,
    ) {
        if let Some(Told {
            pid, code, args, ..
        }) = told(&delivery.event)
        {
            let functions = names.iter().filter(|(told, _)| *told == code);
            for (name, addr) in functions.flat_map(|(_, names)| names.iter().zip(args)) {
                let id = engine.insert_hook(client, pid, HookSite::Entry(addr), options);
                self.ids.borrow_mut().push(id.expect("a function"));
                self.names.borrow_mut().insert(addr, name);
            }
        }
        self.note(engine, client, delivery);
    }

    /// Notes what is seen.
    ///
    /// # Panics
    /// When the task is not held.
    pub fn note(&self, engine: &mut Engine, client: ClientId, delivery: &Delivery) {
        let Some((entry, call)) = entry_or_return(&delivery.event) else {
            return;
        };
        let mut args = [0; 6];
        if entry {
            let regs = engine.registers(client, call.tid).expect("it is held");
            args = ["rdi", "rsi", "rdx", "rcx", "r8", "r9"]
                .map(|name| regs.get(name).expect("its name"));
        }
        self.seen.borrow_mut().push(Seen {
            name: self.names.borrow()[&call.function],
            entry,
            call,
            args,
        });
    }

    /// Where the function of this name is.
    ///
    /// # Panics
    /// When it was not told.
    pub fn address(&self, name: &str) -> u64 {
        let names = self.names.borrow();
        let found = names.iter().find(|(_, of)| **of == name);
        *found.expect("it was told").0
    }

    /// As [`Hooks::serve`], with [`BOTH`], only when something is told.
    pub fn hook(
        &self,
        names: Names<'_>,
        engine: &mut Engine,
        client: ClientId,
        delivery: &Delivery,
    ) {
        if told(&delivery.event).is_some() {
            self.serve(names, BOTH, engine, client, delivery);
        }
    }

    /// All of it.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.borrow().clone()
    }

    /// Entries, returns with a result, and frames that were left otherwise.
    pub fn counts(&self, name: &str) -> (u64, u64, u64) {
        let mut counts = (0, 0, 0);
        for seen in self.seen.borrow().iter().filter(|seen| seen.name == name) {
            match (seen.entry, seen.call.ret) {
                (true, _) => counts.0 += 1,
                (false, Some(_)) => counts.1 += 1,
                (false, None) => counts.2 += 1,
            }
        }
        counts
    }

    /// All calls, each with its arguments and result, in the order of their
    /// entries. Panics unless entries and returns nest, in every task, and agree.
    #[track_caller]
    pub fn calls(&self) -> Vec<(Seen, Option<u64>)> {
        let mut open: BTreeMap<Tid, Vec<usize>> = BTreeMap::new();
        let mut calls: Vec<(Seen, Option<u64>)> = Vec::new();
        for seen in self.seen.borrow().iter() {
            let stack = open.entry(seen.call.tid).or_default();
            if seen.entry {
                assert_eq!(seen.call.depth as usize, stack.len(), "{seen:?}");
                assert_eq!(seen.call.ret, None);
                stack.push(calls.len());
                calls.push((seen.clone(), None));
                continue;
            }
            let index = stack
                .pop()
                .unwrap_or_else(|| panic!("not entered: {seen:?}"));
            let (entry, ret) = &mut calls[index];
            let expected = FunctionCall {
                ret: seen.call.ret,
                at: seen.call.at,
                ..entry.call
            };
            assert_eq!(seen.call, expected, "innermost first");
            assert!(entry.call.at <= seen.call.at);
            *ret = seen.call.ret;
        }
        assert!(open.values().all(Vec::is_empty), "all are left: {open:?}");
        let mut numbers: Vec<u64> = calls.iter().map(|(seen, _)| seen.call.call).collect();
        numbers.dedup();
        assert_eq!(numbers.len(), calls.len(), "each call has its number");
        calls
    }
}

/// Runs a target with hooks on the functions that it tells.
#[track_caller]
pub fn run(trace: Trace<'_>, names: Names<'_>) -> (Traced, Hooks) {
    let hooks = Hooks::default();
    let traced = trace
        .client(vec![tells()], |engine, client, delivery| {
            hooks.serve(names, BOTH, engine, client, delivery);
            Some(Action::Proceed)
        })
        .run_like_untraced();
    (traced, hooks)
}

/// Of hook_recursion.
pub const RECURSION: Names<'static> = &[(0x1234, &["fib", "factorial"])];

/// As that fixture has it.
pub fn fib(n: u64) -> u64 {
    if n < 2 { n } else { fib(n - 1) + fib(n - 2) }
}
