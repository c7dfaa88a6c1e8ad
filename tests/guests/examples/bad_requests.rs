//! Asks for what makes no sense, in the fixture `call_targets`, and prints what
//! it is told.

use pai_plugin::condition::register;
use pai_plugin::{
    Argument, BreakpointKind, BreakpointOptions, Client, ErrorKind, OnBreakpoint, OnEnter,
    Protection, Result, SyscallEvent, println,
};
use pai_test_guests::told;

pai_plugin::plugin! {
    name: "bad-requests",
    description: "asks for what makes no sense",
    wants: [
        Control("to be allowed to"),
        Inject("to be allowed to"),
        MemoryRead("to be allowed to"),
        MemoryWrite("to be allowed to"),
        RegistersWrite("to be allowed to"),
    ],
    run: run,
}

#[derive(Clone, Copy, Default)]
struct Told {
    add10: u64,
    text: u64,
    done: bool,
}

/// No process or task has this number: the kernel's are below 2^22.
const NOBODY: u32 = 0x7fff_0000;

fn run() -> Result<()> {
    let mut client = Client::new(Told::default());
    client.on_enter_of(&["getpriority"], |client, call| {
        match told(call) {
            Some((0x1234, [add10, ..])) => client.data_mut().add10 = add10,
            Some((0x1237, [_, _, _, text, _])) => client.data_mut().text = text,
            Some((0x1240, _)) if !client.data().done => {
                client.data_mut().done = true;
                breakpoints(client, call);
                operations(client, call);
                names(client, call);
            }
            _ => {}
        }
        Ok(OnEnter::Proceed)
    })?;
    client.loop_until_exit()?;
    Ok(())
}

/// The error's kind and its text, or that there was none.
fn say<T>(what: &str, result: Result<T>) {
    match result {
        Ok(_) => println!("{what}: done"),
        Err(error) => {
            let kind = match error.kind() {
                ErrorKind::BadAddress(_) => "bad-address",
                ErrorKind::NoSuchTask(_) => "no-such-task",
                ErrorKind::NoSuchProcess(_) => "no-such-process",
                ErrorKind::NotStopped(_) => "not-stopped",
                ErrorKind::NotFound(_) => "not-found",
                ErrorKind::Invalid(_) => "invalid",
                ErrorKind::Unsupported(_) => "unsupported",
                ErrorKind::Limit(_) => "limit",
                ErrorKind::Busy(_) => "busy",
                _ => "another",
            };
            println!("{what}: {kind}: {error}");
        }
    }
}

fn breakpoints(client: &mut Client<Told>, call: &SyscallEvent) {
    let (pid, Told { add10, text, .. }) = (call.pid, *client.data());
    println!("addresses {pid} {} {add10:#x} {text:#x}", call.tid);
    let mut at = |what: &str, pid, addr, how: BreakpointOptions| {
        let made = client.on_breakpoint_with(pid, addr, how, |_, _| Ok(OnBreakpoint::Keep));
        say(what, made);
    };
    let plain = BreakpointOptions::default;
    at("data", pid, text, plain());
    at("null", pid, 0, plain());
    at("unmapped", pid, 0x10_0000, plain());
    at("kernel", pid, 0xffff_ffff_8100_0000, plain());
    at("not canonical", pid, 1 << 62, plain());
    at("nobody's", NOBODY, add10, plain());
    // Its first instruction is longer than that.
    at("middle", pid, add10 + 1, plain());
    at("at", pid, add10, plain());
    at("twice", pid, add10, plain());
    let of_nobody = BreakpointOptions {
        tid: Some(NOBODY),
        ..plain()
    };
    at("of no task", pid, add10, of_nobody);
    let other = BreakpointOptions {
        kind: BreakpointKind::Other("laser".to_owned()),
        ..plain()
    };
    at("of an unknown kind", pid, add10, other);
    let no_register = plain().when(register("xyz").equals(1));
    at("with an unknown register", pid, add10 + 8, no_register);
    let odd = plain().when(register("rax").bytes(3).equals(1));
    at("of three bytes", pid, add10 + 8, odd);
    say(
        "hook of data",
        client.on_call(pid, text, |_, _| Ok(pai_plugin::OnCall::Proceed)),
    );
}

fn operations(client: &mut Client<Told>, call: &SyscallEvent) {
    let (tid, Told { add10, text, .. }) = (call.tid, *client.data());
    for (what, function) in [
        ("call of data", text),
        ("call of null", 0),
        ("call of the kernel", 0xffff_ffff_8100_0000),
        ("call of nothing", 0x10_0000),
    ] {
        say(what, client.call(tid, function, &[]));
    }
    say("call in no task", client.call(NOBODY, add10, &[]));
    let many = vec![Argument::Int(0); 1000];
    say("too many arguments", client.call(tid, add10, &many));
    let much = [Argument::Bytes(vec![0; 1 << 20])];
    say("too much of an argument", client.call(tid, add10, &much));
    say("syscall in no task", client.syscall(NOBODY, 39, &[]));
    say(
        "too many arguments of a syscall",
        client.syscall(tid, 39, &[0; 7]),
    );
    say("step of no task", client.step(NOBODY, 1));
    say("no step", client.step(tid, 0));
    say("interrupt of no task", client.interrupt(NOBODY));
    let other = client.tasks(Some(call.pid)).unwrap_or_default();
    if let Some(other) = other.iter().find(|task| task.tid != tid) {
        println!("running {}", other.tid);
        say("step of a running task", client.step(other.tid, 1));
        say("call in a running task", client.call(other.tid, add10, &[]));
        say(
            "backtrace of a running task",
            client.backtrace(other.tid, 9),
        );
        say("registers of a running task", client.registers(other.tid));
    }
    say("no memory", client.allocate(tid, 0, Protection::READ));
    say(
        "too much memory",
        client.allocate(tid, 1 << 40, Protection::READ),
    );
    say(
        "memory in no task",
        client.allocate(NOBODY, 1, Protection::READ),
    );
}

fn names(client: &mut Client<Told>, call: &SyscallEvent) {
    let (pid, tid) = (call.pid, call.tid);
    say("unknown register", client.set_register(tid, "rxx", 1));
    say("unknown vector", client.vector(tid, "xmm99"));
    say("unknown set", client.register_set(tid, 0x9999));
    say("general set", client.register_set(tid, 1));
    say(
        "general set to be",
        client.set_register_set(tid, 1, &[0; 216]),
    );
    say("too many reads", client.read_many(pid, &[(1, 1); 4097]));
    say("wrong size", client.set_vector(tid, "xmm0", &[0; 3]));
    say("unknown symbol", client.address_of(pid, "no_such_symbol"));
    say("symbol of nobody", client.address_of(NOBODY, "main"));
    say(
        "symbol of no module",
        client.address_of(pid, "nowhere.so!main"),
    );
    say(
        "slot of no module",
        client.got_slot(pid, "nowhere.so", "puts"),
    );
    say("imports of no module", client.imports(pid, "nowhere.so"));
}
