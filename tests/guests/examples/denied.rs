//! Wants nothing and tries everything: prints the error of each attempt.

use pai_plugin::{Client, OnEnter, Result, println};

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
        say("kill", client.kill(pid));
        client.answer_held(pai_plugin::Action::SkipSyscall(-1))?;
        let next = client.run_until(|_| false).map(drop);
        say("skip", next);
    }
    client.on_enter_of(&["getppid"], |_, _| Ok(OnEnter::Proceed))?;
    client.loop_until_exit()?;
    Ok(())
}
