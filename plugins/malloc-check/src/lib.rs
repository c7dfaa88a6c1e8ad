//! Finds memory that is not freed, freed twice, or freed without having been
//! allocated.

mod heap;
mod library;
mod memories;
mod ranges;
mod reach;
mod report;
mod roots;
mod scan;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use pai_plugin::{
    Client, Event, FunctionEvent, Module, OnCall, OnNotice, OnReturn, OtherStop, Pid, Result, Tid,
    options,
};

use heap::{Block, Stack, Stacks};
use memories::{Memories, Memory};
use report::Totals;
use scan::Registers;

pai_plugin::without_wasi!();

pai_plugin::plugin! {
    name: "malloc-check",
    description: "finds memory that is not freed, or freed by mistake",
    wants: [
        Control("to stop at malloc, free and their like, and at the end of processes"),
        MemoryRead("to find them, who calls them, and what points to blocks"),
    ],
    options: [
        OptionSpec::integer("depth", "show so many callers").short("d").default("12"),
        OptionSpec::flag("reachable", "list also blocks that are still reachable"),
    ],
    run: run,
}

/// How a function says what it allocates.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// f(size)
    Size,
    /// f(count, size)
    Product,
    /// f(alignment, size)
    Aligned,
    /// f(&block, alignment, size): 0, or an error
    Posix,
    /// f(block, size)
    Resize,
    /// f(block, count, size)
    ResizeProduct,
    /// f(block)
    Free,
}

const FUNCTIONS: &[(&str, Kind)] = &[
    ("malloc", Kind::Size),
    ("valloc", Kind::Size),
    ("pvalloc", Kind::Size),
    ("calloc", Kind::Product),
    ("aligned_alloc", Kind::Aligned),
    ("memalign", Kind::Aligned),
    ("posix_memalign", Kind::Posix),
    ("realloc", Kind::Resize),
    ("reallocarray", Kind::ResizeProduct),
    ("free", Kind::Free),
];

/// A call that has not returned.
struct Pending {
    size: u64,
    /// First argument.
    first: u64,
    /// The block that is resized.
    old: Option<Block>,
}

/// Registers of ended tasks that are kept.
const MOST_ENDED: usize = 4096;

struct State {
    depth: u32,
    list_reachable: bool,
    memories: Memories,
    /// Tasks that have not ended.
    tasks: BTreeMap<Pid, BTreeSet<Tid>>,
    pending: BTreeMap<u64, Pending>,
    stacks: Stacks,
    /// Others have their turn while a process is looked at.
    busy: bool,
    errors: u64,
    totals: Totals,
}

impl State {
    /// Modules of the C library in a process.
    fn library(&self, pid: Pid) -> &[Range<u64>] {
        let memory = self.memories.get(pid);
        memory.map_or(&[], |memory| &memory.library)
    }

    fn remove_task(&mut self, pid: Pid, tid: Tid) {
        if let Some(tasks) = self.tasks.get_mut(&pid) {
            tasks.remove(&tid);
        }
    }
}

fn run() -> Result<()> {
    let depth = options::integer("depth")?.unwrap_or(12);
    let mut client = Client::new(State {
        depth: u32::try_from(depth).map_err(|_| "--depth: too many or too few")?,
        list_reachable: options::flag("reachable"),
        memories: Memories::default(),
        tasks: BTreeMap::new(),
        pending: BTreeMap::new(),
        stacks: Stacks::default(),
        busy: false,
        errors: 0,
        totals: Totals::default(),
    });
    for target in client.targets()? {
        if target.attached {
            let memories = &mut client.data_mut().memories;
            memories.begin(target.pid, Memory::new(false));
        }
    }
    for task in client.tasks(None)? {
        let tasks = client.data_mut().tasks.entry(task.pid).or_default();
        tasks.insert(task.tid);
    }
    follow_processes(&mut client)?;
    client.on_modules(hook)?;
    client.run_until(|_| false)?;
    let state = client.data_mut();
    // The user has ended the trace: they go on, and nobody may look at them any more.
    for (pid, memory) in std::mem::take(&mut state.memories).into_rest() {
        report::tell_unknown(state, pid, &memory.heap)?;
    }
    report::total(state.errors, &state.totals)
}

/// Knows which processes there are, and looks at each at its end.
fn follow_processes(client: &mut Client<State>) -> Result<()> {
    client.on_exec(|client, event| {
        if let Event::Execed(exec) = event {
            let state = client.data_mut();
            state.memories.begin(exec.pid, Memory::new(true));
            state.tasks.insert(exec.pid, BTreeSet::from([exec.pid]));
        }
        Ok(OnNotice::Proceed)
    })?;
    client.on_fork(|client, event| {
        if let Event::Forked(fork) = event
            && fork.followed
        {
            let shares = memories::is_sharing(client, fork.pid, fork.tid, &fork.kind)?;
            let memories = &mut client.data_mut().memories;
            memories.fork(fork.pid, fork.child, shares);
        }
        Ok(OnNotice::Proceed)
    })?;
    client.on_task_started(|client, event| {
        if let Event::TaskStarted(task) = event {
            let tasks = client.data_mut().tasks.entry(task.pid).or_default();
            tasks.insert(task.tid);
        }
        Ok(OnNotice::Proceed)
    })?;
    client.on_task_exited(|client, event| {
        if let Event::TaskExited(task) = event {
            client.data_mut().remove_task(task.pid, task.tid);
        }
        Ok(OnNotice::Proceed)
    })?;
    client.on_stop(|client, event| {
        match event {
            Event::Stop(stop) if stop.name == "exit" => at_exit(client, stop)?,
            _ => {}
        }
        Ok(OnNotice::Proceed)
    })?;
    client.on_process_exited(|client, event| {
        if let Event::ProcessExited(end) = event {
            let state = client.data_mut();
            state.tasks.remove(&end.pid);
            if let Some(memory) = state.memories.leave(end.pid) {
                report::tell_unknown(state, end.pid, &memory.heap)?;
            }
        }
        Ok(OnNotice::Proceed)
    })?;
    Ok(())
}

/// A task is about to end. With the last one the memory of the process goes.
fn at_exit(client: &mut Client<State>, stop: &OtherStop) -> Result<()> {
    let (pid, tid) = (stop.pid, stop.tid);
    client.data_mut().remove_task(pid, tid);
    if client.data().memories.get(pid).is_none() {
        return Ok(());
    }
    // It may be in use for long after this task.
    if !client.data().memories.is_shared(pid) {
        let registers = client.registers(tid)?;
        let registers = Registers {
            sp: registers.sp(),
            values: registers.iter().map(|(_, value)| value).collect(),
        };
        let memory = client.data_mut().memories.get_mut(pid);
        if memory.ended.len() < MOST_ENDED {
            memory.ended.push(registers);
        }
    }
    let state = client.data_mut();
    let tasks = state.tasks.get(&pid);
    if tasks.is_some_and(|tasks| !tasks.is_empty()) {
        return Ok(());
    }
    let Some(memory) = state.memories.leave(pid) else {
        return Ok(());
    };
    let heap = &memory.heap;
    if !heap.has_own() {
        client.data_mut().totals.seen += 1;
        return Ok(());
    }
    match scan::scan(client, pid, heap, &memory.ended, &memory.allocators) {
        Ok(seen) => report::tell(client, pid, heap, &seen),
        // It was killed meanwhile.
        Err(error) if matches!(error.kind(), pai_plugin::ErrorKind::NoSuchProcess(_)) => {
            report::tell_unknown(client.data_mut(), pid, heap)
        }
        Err(error) => Err(error),
    }
}

fn hook(client: &mut Client<State>, pid: Pid, modules: &[Module]) -> Result<()> {
    let library = library::find(client, pid, modules)?;
    client
        .data_mut()
        .memories
        .get_mut(pid)
        .library
        .extend(library);
    for (name, kind) in FUNCTIONS {
        for symbol in client.functions_in(pid, modules, name)? {
            let module = modules
                .iter()
                .find(|module| (module.base..module.end).contains(&symbol.value));
            if let Some(module) = module {
                let range = module.base..module.end;
                let allocators = &mut client.data_mut().memories.get_mut(pid).allocators;
                if !allocators.contains(&range) {
                    allocators.push(range);
                }
            }
            let enter = move |client: &mut _, call: &_| enter(client, call, *kind);
            if *kind == Kind::Free && symbol.kind != "ifunc" {
                // Nothing is to be learned where it returns: one stop less.
                client.on_call(pid, symbol.value, enter)?;
                continue;
            }
            client.on_symbol(pid, &symbol, enter, move |client, call| {
                leave(client, call, *kind)
            })?;
        }
    }
    Ok(())
}

fn enter(client: &mut Client<State>, call: &FunctionEvent, kind: Kind) -> Result<OnCall> {
    // One of them calls another: what counts is what the program has asked for.
    if call.depth > 0 {
        return Ok(OnCall::Proceed);
    }
    let mut args = [0; 3];
    for (index, arg) in args.iter_mut().enumerate() {
        *arg = client.argument(call, index)?;
    }
    let [first, second, third] = args;
    let memory = client.data_mut().memories.get_mut(call.pid);
    memory.ended.clear();
    let mut old = None;
    if matches!(kind, Kind::Free | Kind::Resize | Kind::ResizeProduct) && first != 0 {
        match memory.heap.take(first) {
            // What is resized may stay where it is.
            Ok(block) if kind != Kind::Free => old = block,
            Ok(Some(block)) => {
                let stack = stack(client, call, 1)?;
                let heap = &mut client.data_mut().memories.get_mut(call.pid).heap;
                heap.note_free(first, block, stack);
            }
            Ok(None) => {}
            Err(_) if library::is_its_own(client, call)? => {}
            Err(bad) => {
                let stack = stack(client, call, 1)?;
                report::complain(client, call.pid, first, &bad, &stack)?;
            }
        }
    }
    let size = match kind {
        Kind::Size => first,
        Kind::Product => first.saturating_mul(second),
        Kind::Aligned | Kind::Resize => second,
        Kind::Posix => third,
        Kind::ResizeProduct => second.saturating_mul(third),
        Kind::Free => return Ok(OnCall::Proceed),
    };
    let pending = Pending { size, first, old };
    client.data_mut().pending.insert(call.call, pending);
    Ok(OnCall::Proceed)
}

fn leave(client: &mut Client<State>, call: &FunctionEvent, kind: Kind) -> Result<OnReturn> {
    let Some(Pending { size, first, old }) = client.data_mut().pending.remove(&call.call) else {
        return Ok(OnReturn::Proceed);
    };
    let block = match (kind, call.ret) {
        (_, None) => 0,
        (Kind::Posix, Some(0)) => client.read_u64(call.pid, first)?,
        (Kind::Posix, Some(_)) => 0,
        (_, Some(block)) => block,
    };
    if block == 0 && old.is_none() {
        return Ok(OnReturn::Proceed);
    }
    let stack = stack(client, call, 0)?;
    let heap = &mut client.data_mut().memories.get_mut(call.pid).heap;
    match old {
        // Nothing has happened, unless a block was made to have no bytes.
        Some(old) if block == 0 && size != 0 => heap.put_back(first, old),
        Some(old) if block != first => heap.note_free(first, old, Stack::clone(&stack)),
        _ => {}
    }
    if block != 0 {
        heap.add(block, size, stack);
    }
    Ok(OnReturn::Proceed)
}

/// Who has called: return addresses. What they are called is asked when it is shown.
fn stack(client: &mut Client<State>, call: &FunctionEvent, skip: usize) -> Result<Stack> {
    let max = client.data().depth.saturating_add(1);
    let mut stack = client.backtrace(call.tid, max)?;
    stack.drain(..skip.min(stack.len()));
    stack.truncate(client.data().depth as usize);
    Ok(client.data_mut().stacks.one(&stack))
}
