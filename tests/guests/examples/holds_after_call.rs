//! Has a task make a call, and tries to keep it stopped afterwards, which it may
//! not.

use pai_plugin::bindings::pai::plugin::calls::call_syscall;
use pai_plugin::bindings::pai::plugin::client::{Subscription, next};
use pai_plugin::bindings::pai::plugin::events::Answer;
use pai_plugin::{Action, Error, Event, Result, SyscallFilter, SyscallSet, Topic, println};

pai_plugin::plugin! {
    name: "holds-after-call",
    description: "tries to hold what it made run",
    wants: [Inject("to make a call")],
    run: run,
}

fn run() -> Result<()> {
    let filter = SyscallFilter {
        which: SyscallSet::Names(vec!["getppid".to_owned()]),
        enter: true,
        exit: false,
        tasks: Vec::new(),
        capture: None,
        extra: Vec::new(),
    };
    let _wish = Subscription::subscribe(&Topic::Syscalls(filter)).map_err(Error::from)?;
    let first = next(&[], None).map_err(Error::from)?;
    let Event::SyscallEnter(call) = &first.event else {
        return Err("another event came first".into());
    };
    let op = call_syscall(call.tid, 39, &[], None).map_err(Error::from)?;
    // Its stop needs no answer while it runs; those of others do.
    let mut others = Vec::new();
    loop {
        let next = next(&others, None).map_err(Error::from)?;
        others.clear();
        match (next.event, next.stop) {
            (Event::OpDone(result), _) if result.op == op => break,
            (_, Some(stop)) => others.push(Answer {
                stop,
                action: Action::Proceed,
            }),
            _ => {}
        }
    }
    println!("done");
    let kept = next(&[], Some(1_000_000)).map(drop);
    println!("kept: {kept:?}");
    let stop = first.stop.ok_or("the first event has no stop")?;
    let action = Action::Proceed;
    let answer = Answer { stop, action };
    let last = next(&[answer], None).map_err(Error::from)?;
    println!(
        "then: {}",
        matches!(last.event, Event::ProcessExited(_) | Event::SyscallEnter(_))
    );
    Ok(())
}
