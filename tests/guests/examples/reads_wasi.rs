//! Tries what the sandbox closes.

use std::io::Read;

use pai_plugin::{Client, Result, println};

pai_plugin::plugin! {
    name: "reads-wasi",
    description: "tries files, network and environment",
    run: run,
}

fn run() -> Result<()> {
    println!("file: {}", std::fs::read("/etc/passwd").is_ok());
    println!("write: {}", std::fs::write("/tmp/pai-escaped", "x").is_ok());
    println!("environment: {}", std::env::vars().count());
    println!("arguments: {}", std::env::args().count());
    println!(
        "connect: {}",
        std::net::TcpStream::connect("127.0.0.1:22").is_ok()
    );
    let mut text = String::new();
    println!(
        "input: {:?}",
        std::io::stdin().read_to_string(&mut text).ok()
    );
    Client::new(()).loop_until_exit()?;
    Ok(())
}
