//! Prints its options.

use pai_plugin::{Client, Result, options, println};

pai_plugin::plugin! {
    name: "options-probe",
    description: "prints its options",
    options: [
        OptionSpec::flag("flag", "a flag").short("f"),
        OptionSpec::text("text", "some text").short("t").default("none"),
        OptionSpec::integer("number", "a number").metavar("N"),
        OptionSpec::text("many", "any number of times").repeated(),
    ],
    run: run,
}

fn run() -> Result<()> {
    println!("flag {}", options::flag("flag"));
    println!("text {:?}", options::get("text"));
    println!("number {:?}", options::integer("number")?);
    println!("many {:?}", options::all("many"));
    Client::new(()).loop_until_exit()?;
    Ok(())
}
