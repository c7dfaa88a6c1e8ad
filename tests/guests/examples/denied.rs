//! Wants nothing and tries everything: prints the error of each attempt.

use pai_plugin::{
    BreakpointOptions, Client, OnBreakpoint, OnCall, OnEnter, Protection, Result, println,
};

pai_plugin::plugin! {
    name: "denied",
    description: "tries what it does not want",
    run: run,
}

fn run() -> Result<()> {
    let mut client = Client::new(());
    if let Some(pai_plugin::Event::SyscallEnter(call)) = client.run_until_syscall("getppid")? {
        let say = |what: &str, result: Result<()>| match result {
            Ok(()) => println!("{what}: done"),
            Err(error) => println!("{what}: {error}"),
        };
        let (pid, tid) = (call.pid, call.tid);
        say("memory", client.read_bytes(pid, call.ip, 1).map(drop));
        say("write", client.write_bytes(pid, call.ip, b"x"));
        say("find", client.find(pid, 0..9, b"x", 1).map(drop));
        say("maps", client.maps(pid).map(drop));
        say("registers", client.registers(tid).map(drop));
        let set = client.set_register(tid, "rax", 1);
        say("set-register", set);
        say("signal", client.send_signal(tid, 10));
        say("raise", client.raise(tid, 10));
        say("delay", client.delay(tid, 1));
        say("kill", client.kill(pid));
        let keep = |_: &mut Client, _: &pai_plugin::BreakpointHit| Ok(OnBreakpoint::Keep);
        let inserted = client.on_breakpoint(pid, call.ip, keep).map(drop);
        say("breakpoint", inserted);
        let write = BreakpointOptions::on_write(8);
        let inserted = client
            .on_breakpoint_with(pid, call.ip, write, keep)
            .map(drop);
        say("watchpoint", inserted);
        let hooked = client.on_call(pid, call.ip, |_, _| Ok(OnCall::Proceed));
        say("hook", hooked.map(drop));
        let stepped = client.step(tid, 1).map(drop);
        say("step", stepped);
        say("interrupt", client.interrupt(tid));
        let called = client.call(tid, call.ip, &[]).map(drop);
        say("call", called);
        let called = client.syscall(tid, 39, &[]).map(drop);
        say("call-syscall", called);
        let memory = client.allocate(tid, 1, Protection::READ).map(drop);
        say("allocate", memory);
        let set = client.set_vector(tid, "xmm0", &[0; 16]);
        say("set-vector", set);
        say("lookup", client.lookup(pid, "main").map(drop));
        say("search", client.search(pid, "main").map(drop));
        say("resolve", client.resolve(pid, call.ip).map(drop));
        say("modules", client.modules(pid).map(drop));
        say("entry", client.entry(pid).map(drop));
        say("imports", client.imports(pid, "libc.so.6").map(drop));
        say("backtrace", client.backtrace(tid, 9).map(drop));
        client.answer_held(pai_plugin::Action::SkipSyscall(-1))?;
        let next = client.run_until(|_| false).map(drop);
        say("skip", next);
    }
    client.on_enter_of(&["getppid"], |_, _| Ok(OnEnter::Proceed))?;
    client.loop_until_exit()?;
    Ok(())
}
