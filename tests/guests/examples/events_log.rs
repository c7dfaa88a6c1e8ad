//! Prints one line per event, of every kind: the oracle for event sequences.

use pai_plugin::{Client, Event, OnEnter, OnExit, OnNotice, OnSignal, Result, println};
use pai_test_guests::{name, status};

pai_plugin::plugin! {
    name: "events-log",
    description: "prints every event",
    run: run,
}

fn line(event: &Event) {
    match event {
        Event::TaskStarted(e) => println!("{} started in {}", e.tid, e.pid),
        Event::TaskExited(e) => println!("{} ended: {}", e.tid, status(&e.status)),
        Event::ProcessExited(e) => println!("process {} ended: {}", e.pid, status(&e.status)),
        Event::Forked(e) => println!("{} {} {}", e.tid, e.kind, e.child),
        Event::Execed(e) => println!("{} exec {} {:?}", e.pid, e.path, e.argv),
        Event::JobControl(e) => println!(
            "{} {} by {}",
            e.tid,
            if e.stopped { "stopped" } else { "continued" },
            e.signal
        ),
        Event::Stop(e) => println!("{} {}", e.tid, e.name),
        other => println!("{other:?}"),
    }
}

fn run() -> Result<()> {
    let mut client = Client::new(());
    client.on_syscall_enter(|_, call| {
        println!("{} enter {}", call.tid, name(call));
        Ok(OnEnter::Proceed)
    })?;
    client.on_syscall_exit(|_, call| {
        println!(
            "{} exit {} = {}",
            call.tid,
            name(call),
            call.ret.unwrap_or(0)
        );
        Ok(OnExit::Proceed)
    })?;
    client.on_signal(&[], |_, stop| {
        println!(
            "{} signal {} code {} from {}",
            stop.tid, stop.signal, stop.code, stop.sender
        );
        Ok(OnSignal::Proceed)
    })?;
    let notice = |_: &mut Client<()>, event: &Event| {
        line(event);
        Ok(OnNotice::Proceed)
    };
    client.on_task_started(notice)?;
    client.on_task_exited(notice)?;
    client.on_process_exited(notice)?;
    client.on_fork(notice)?;
    client.on_exec(notice)?;
    client.on_job_control(notice)?;
    client.on_stop(notice)?;
    let (end, ()) = client.loop_until_exit()?;
    println!("{end:?}");
    Ok(())
}
