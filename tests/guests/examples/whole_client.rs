//! Does one of everything to the fixture `call_targets`, and says what came of it.

use std::time::Duration;

use pai_plugin::{Argument, Client, Event, OnBreakpoint, Protection, Result, Steps, println};

pai_plugin::plugin! {
    name: "whole-client",
    description: "memory, registers, symbols, breakpoints, steps, calls",
    wants: [
        MemoryRead("to look"),
        MemoryWrite("to place texts"),
        RegistersWrite("to set some"),
        Control("for breakpoints and steps"),
        Inject("to call"),
    ],
    run: run,
}

fn run() -> Result<()> {
    let mut client = Client::new(0_u32);
    // Straight on to where the program tells its addresses for the last time.
    let stop = loop {
        match client.run_until_syscall("getpriority")? {
            Some(Event::SyscallEnter(call)) if call.args.0 == 0x1240 => break call,
            Some(_) => {}
            None => return Err("the program has ended".into()),
        }
    };
    let (pid, tid) = (stop.pid, stop.tid);

    let add10 = client.address_of(pid, "add10")?;
    let args: Vec<Argument> = (1..=10).map(Argument::Int).collect();
    println!("add10: {}", client.call(tid, add10, &args)?.int);
    let mix = client.address_of(pid, "call_targets!mix")?;
    let args = [
        Argument::Int(1),
        Argument::Float(2.0),
        Argument::Single(3.0),
        Argument::Int(4),
        Argument::Float(5.0),
    ];
    println!("mix: {}", client.call(tid, mix, &args)?.float);
    let getpid = client.call(tid, client.address_of(pid, "getpid")?, &[])?;
    println!("getpid: {}", getpid.int == u64::from(pid));
    println!(
        "by number: {}",
        client.syscall(tid, 39, &[])? == i64::from(pid)
    );
    println!("close(-1): {}", client.syscall(tid, 3, &[u64::MAX])?);

    let strlen = client.address_of(pid, "libc.so*!strlen")?;
    let text = client.place_string(tid, "placed")?;
    let args = [Argument::Int(text.addr())];
    println!("strlen: {}", client.call(tid, strlen, &args)?.int);
    let args = [Argument::Bytes(b"on the stack\0".to_vec())];
    println!("strlen: {}", client.call(tid, strlen, &args)?.int);
    let mut memory = client.allocate(tid, 5_000, Protection::READ | Protection::WRITE)?;
    client.write_u128(pid, memory.addr() + 4_990, 7)?;
    memory.resize(tid, 1 << 20)?;
    println!("kept: {}", client.read_u128(pid, memory.addr() + 4_990)?);
    let at = memory.addr();
    drop(memory);
    println!("freed: {}", client.read_u8(pid, at).is_err());

    let block = client.address_of(pid, "block")?;
    let timeout = Some(Duration::from_millis(50));
    match client.call_for(tid, block, &[], timeout) {
        Err(error) => println!("block: {error}"),
        Ok(_) => println!("block returned"),
    }
    let segfaults = client.address_of(pid, "segfaults")?;
    match client.call(tid, segfaults, &[]) {
        Err(error) => println!("segfaults: {error}"),
        Ok(_) => println!("segfaults returned"),
    }

    let before = client.vector(tid, "xmm3")?;
    client.set_vector(tid, "xmm3", &[9; 16])?;
    println!("xmm3: {:?}", client.vector(tid, "xmm3")?[0]);
    client.set_vector(tid, "xmm3", &before)?;
    println!("no such: {}", client.vector(tid, "xmm99").is_err());
    println!("fxsave: {}", client.register_set(tid, 2)?.len());

    let hot = client.address_of(pid, "hot_frame")?;
    client.on_breakpoint(pid, hot, |client, hit| {
        *client.data_mut() += 1;
        let ip = client.registers(hit.tid)?.ip();
        println!("hit: {}", ip == hit.addr);
        Ok(OnBreakpoint::Remove)
    })?;
    let calls_hot = client.address_of(pid, "calls_hot")?;
    let args = [Argument::Int(20), Argument::Int(21)];
    println!("calls_hot: {}", client.call(tid, calls_hot, &args)?.int);
    println!("hits: {}", client.data());

    let entered = client.run_until_symbol(pid, "spin_begin");
    println!("spin_begin: {}", entered.is_ok());
    // Out of the call that it is in, and two instructions on.
    let from = client.step(tid, 1)?;
    let to = client.step_with(tid, 2, Steps::default())?;
    println!("stepped: {}", from != to);
    let location = client.resolve(pid, from)?;
    println!(
        "in {}",
        location.map_or("nothing".to_owned(), |l| l.symbol.name)
    );
    println!("frames: {}", !client.backtrace(tid, 32)?.is_empty());
    println!("modules: {}", client.modules(pid)?[0].name);

    client.loop_until_exit()?;
    Ok(())
}
