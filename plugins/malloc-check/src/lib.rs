//! Finds memory that is not freed, freed twice, or freed without having been
//! allocated.

mod heap;

use std::collections::BTreeMap;
use std::rc::Rc;

use pai_plugin::output::{emit, push_json_string, structured};
use pai_plugin::{
    Client, Event, FunctionEvent, Module, OnCall, OnNotice, OnReturn, Pid, Result, options,
};

use heap::{Bad, Block, Heap, Stack};

pai_plugin::without_wasi!();

pai_plugin::plugin! {
    name: "malloc-check",
    description: "finds memory that is not freed, or freed by mistake",
    wants: [
        Control("to stop at malloc, free and their like"),
        MemoryRead("to find them, and who calls them"),
    ],
    options: [
        OptionSpec::integer("depth", "show so many callers").short("d").default("12"),
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

struct State {
    depth: u32,
    heaps: BTreeMap<Pid, Heap>,
    pending: BTreeMap<u64, Pending>,
    /// What is where, asked once and while the process was there.
    places: BTreeMap<(Pid, u64), Rc<str>>,
    errors: u64,
    blocks: u64,
    bytes: u64,
}

fn run() -> Result<()> {
    let depth = options::integer("depth")?.unwrap_or(12);
    let mut client = Client::new(State {
        depth: u32::try_from(depth).map_err(|_| "--depth: too many or too few")?,
        heaps: BTreeMap::new(),
        pending: BTreeMap::new(),
        places: BTreeMap::new(),
        errors: 0,
        blocks: 0,
        bytes: 0,
    });
    for target in client.targets()? {
        if target.attached {
            client.data_mut().heaps.insert(target.pid, Heap::new(false));
        }
    }
    client.on_exec(|client, event| {
        if let Event::Execed(exec) = event {
            // The memory of the program before is gone, and nothing leaked.
            forget(client.data_mut(), exec.pid);
            client.data_mut().heaps.insert(exec.pid, Heap::new(true));
        }
        Ok(OnNotice::Proceed)
    })?;
    client.on_fork(|client, event| {
        if let Event::Forked(fork) = event
            && fork.followed
        {
            let state = client.data_mut();
            if let Some(heap) = state.heaps.get(&fork.pid).map(Heap::fork) {
                state.heaps.insert(fork.child, heap);
            }
        }
        Ok(OnNotice::Proceed)
    })?;
    client.on_process_exited(|client, event| {
        if let Event::ProcessExited(end) = event {
            report(client.data_mut(), end.pid)?;
        }
        Ok(OnNotice::Proceed)
    })?;
    client.on_modules(hook)?;
    let (_end, state) = client.loop_until_exit()?;
    pai_plugin::println!(
        "{} errors; {} blocks, {} bytes were not freed",
        state.errors,
        state.blocks,
        state.bytes
    );
    Ok(())
}

fn hook(client: &mut Client<State>, pid: Pid, modules: &[Module]) -> Result<()> {
    for (name, kind) in FUNCTIONS {
        for symbol in client.functions_in(pid, modules, name)? {
            client.on_symbol(
                pid,
                &symbol,
                move |client, call| enter(client, call, *kind),
                move |client, call| leave(client, call, *kind),
            )?;
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
    let mut old = None;
    if matches!(kind, Kind::Free | Kind::Resize | Kind::ResizeProduct) && first != 0 {
        // The first is the function itself.
        let stack = stack(client, call, 1)?;
        let heap = client.data_mut().heaps.entry(call.pid).or_default();
        match heap.free(first, Rc::clone(&stack)) {
            Ok(block) => old = block,
            Err(bad) => complain(client, call.pid, first, &bad, &stack)?,
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
    if block == 0 {
        // Nothing has happened, unless a block was made to have no bytes.
        if let Some(old) = old.filter(|_| size != 0) {
            let heap = client.data_mut().heaps.entry(call.pid).or_default();
            heap.put_back(first, old);
        }
        return Ok(OnReturn::Proceed);
    }
    let stack = stack(client, call, 0)?;
    let heap = client.data_mut().heaps.entry(call.pid).or_default();
    heap.add(block, size, stack);
    Ok(OnReturn::Proceed)
}

/// Who has called: return addresses, whose names are asked for now.
fn stack(client: &mut Client<State>, call: &FunctionEvent, skip: usize) -> Result<Stack> {
    let max = client.data().depth.saturating_add(1);
    let mut stack = client.backtrace(call.tid, max)?;
    stack.drain(..skip.min(stack.len()));
    stack.truncate(client.data().depth as usize);
    for addr in &stack {
        if !client.data().places.contains_key(&(call.pid, *addr)) {
            let place = place(client, call.pid, *addr)?;
            client.data_mut().places.insert((call.pid, *addr), place);
        }
    }
    Ok(Rc::from(stack))
}

/// The function that an address to return to is in, and the line of the call.
fn place(client: &Client<State>, pid: Pid, addr: u64) -> Result<Rc<str>> {
    let call = addr.saturating_sub(1);
    let mut text = match client.resolve(pid, call)? {
        Some(at) if !at.symbol.name.is_empty() => {
            let name = at.symbol.demangled.as_ref().unwrap_or(&at.symbol.name);
            format!("{name}+{:#x}", at.offset + 1)
        }
        _ => format!("{addr:#x}"),
    };
    let line = client.locate(pid, call)?.into_iter().next();
    if let Some((file, line)) = line.and_then(|source| Some((source.file?, source.line?))) {
        text.push_str(&format!(" ({file}:{line})"));
    }
    Ok(Rc::from(text))
}

/// A mistake, as it happens.
fn complain(client: &mut Client<State>, pid: Pid, addr: u64, bad: &Bad, at: &Stack) -> Result<()> {
    let state = client.data_mut();
    state.errors += 1;
    let (what, before) = match bad {
        Bad::Twice(before) => ("freed twice", Some(before)),
        Bad::Unknown => ("freed, and was never allocated", None),
    };
    if structured() {
        let mut json = format!("{{\"pid\":{pid},\"addr\":{addr},\"what\":\"{what}\",");
        push_stack(&mut json, "stack", state, pid, at);
        if let Some(before) = before {
            json.push(',');
            push_stack(&mut json, "before", state, pid, before);
        }
        json.push('}');
        return emit("error", &json);
    }
    pai_plugin::print!("{pid}: {addr:#x} is {what}\n{}", lines(state, pid, at));
    if let Some(before) = before {
        pai_plugin::print!("  it was freed before\n{}", lines(state, pid, before));
    }
    Ok(())
}

fn lines(state: &State, pid: Pid, stack: &Stack) -> String {
    let line = |addr: &u64| format!("    {}\n", text(state, pid, *addr));
    stack.iter().map(line).collect()
}

fn text(state: &State, pid: Pid, addr: u64) -> Rc<str> {
    let place = state.places.get(&(pid, addr)).cloned();
    place.unwrap_or_else(|| Rc::from(format!("{addr:#x}")))
}

fn push_stack(json: &mut String, name: &str, state: &State, pid: Pid, stack: &Stack) {
    json.push_str(&format!("\"{name}\":["));
    for (index, addr) in stack.iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        push_json_string(json, &text(state, pid, *addr));
    }
    json.push(']');
}

/// What a process that has ended did not free.
fn report(state: &mut State, pid: Pid) -> Result<()> {
    let leaks = state.heaps.get(&pid).map(Heap::leaks).unwrap_or_default();
    for (stack, blocks, bytes) in &leaks {
        state.blocks += blocks;
        state.bytes += bytes;
        if structured() {
            let mut json = format!("{{\"pid\":{pid},\"blocks\":{blocks},\"bytes\":{bytes},");
            push_stack(&mut json, "stack", state, pid, stack);
            json.push('}');
            emit("leak", &json)?;
        } else {
            let lines = lines(state, pid, stack);
            pai_plugin::print!("{pid}: {blocks} blocks, {bytes} bytes were not freed\n{lines}");
        }
    }
    forget(state, pid);
    Ok(())
}

fn forget(state: &mut State, pid: Pid) {
    state.heaps.remove(&pid);
    state.places.retain(|(of, _), _| *of != pid);
}
