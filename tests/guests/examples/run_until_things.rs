//! Straight-line code between `run_until`s, with callbacks that register
//! callbacks and run nested loops.

use pai_plugin::{Client, Event, OnEnter, OnExit, Result, println};

pai_plugin::plugin! {
    name: "run-until-things",
    description: "straight-line code between events",
    wants: [Control("a nested loop holds its task")],
    run: run,
}

fn run() -> Result<()> {
    let mut client = Client::new(Vec::<&str>::new());
    let Some(Event::Execed(exec)) = client.run_until_exec()? else {
        return Ok(());
    };
    println!("exec, {} task", client.tasks(Some(exec.pid))?.len());
    client.on_enter_of(&["getppid"], |client, _| {
        client.data_mut().push("enter");
        client.on_exit_of(&["getppid"], |client, _| {
            client.data_mut().push("exit");
            Ok(OnExit::Remove)
        })?;
        Ok(OnEnter::Proceed)
    })?;
    let hit = client.run_until_syscall_exit("getppid")?;
    println!("first: {:?} {}", client.data(), hit.is_some());
    let hit = client.run_until_syscall("write")?;
    if let Some(Event::SyscallEnter(call)) = hit {
        let task = client.task(call.tid)?;
        println!("write held: {:?}", task.state);
        println!("rax {:?}", client.registers(call.tid)?.get("orig_rax"));
    }
    let (end, log) = client.loop_until_exit()?;
    println!("{} callbacks, {end:?}", log.len());
    Ok(())
}
