use std::borrow::Cow;

use pai_host::manifest::{API, Manifest, Want};
use pai_host::plugin::World;

use super::*;

fn option(
    name: &str,
    short: &str,
    kind: Kind,
    default: Option<&str>,
    repeated: bool,
) -> OptionSpec {
    OptionSpec {
        name: name.into(),
        short: short.into(),
        help: format!("Help of {name}"),
        kind,
        metavar: String::new(),
        default: default.map(str::to_owned),
        repeated,
    }
}

fn plugin() -> Plugin {
    let mut manifest = Manifest::absent("demo");
    manifest.api = API.into();
    manifest.description = "Shows something".into();
    manifest.wants = vec![Want {
        capability: "kill".into(),
        why: "because".into(),
    }];
    manifest.options = vec![
        option("filter", "e", Kind::Text, None, true),
        option("top", "n", Kind::Integer, Some("10"), false),
        option("count", "c", Kind::Flag, None, false),
        option("verbose", "v", Kind::Flag, None, true),
        option("version", "V", Kind::Flag, None, false),
    ];
    Plugin {
        name: "demo".into(),
        manifest,
        world: World::Plugin,
        imports: Vec::new(),
        wasm: Cow::Borrowed(&[]),
        digest: [0; 32],
    }
}

fn words(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}

fn read(line: &str, place: Place) -> Result<(Options, Vec<OsString>), Halt> {
    let usage = usage("./demo.wasm", &plugin(), place);
    parse(
        &plugin(),
        &words(line),
        place,
        usage,
        clap::ColorChoice::Never,
    )
}

fn options(line: &str) -> String {
    let (options, _) = read(line, Place::Quoted).unwrap();
    let pairs: Vec<String> = options.iter().map(|(k, v)| format!("{k}={v}")).collect();
    pairs.join(" ")
}

fn refused(line: &str, place: Place) -> String {
    match read(line, place) {
        Err(Halt::Failed {
            code: 125, message, ..
        }) => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn definition_is_valid_for_clap() {
    for place in [Place::Run, Place::Attach, Place::Quoted] {
        command(&plugin(), place).debug_assert();
    }
}

#[test]
fn values_come_in_order_with_defaults() {
    assert_eq!(options(""), "top=10");
    assert_eq!(
        options("-e a --top=3 --filter=b"),
        "filter=a top=3 filter=b"
    );
    assert_eq!(options("-c -e x"), "top=10 count=true filter=x");
    assert_eq!(options("-vv"), "top=10 verbose=true verbose=true");
    assert_eq!(options("--top -5"), "top=-5");
    assert_eq!(options("--filter=-x"), "top=10 filter=-x");
    assert_eq!(options("-V"), "top=10 version=true");
    // The last one counts, also over the default.
    assert_eq!(options("-n 1 -n 2 -c -c"), "top=2 count=true");
}

#[test]
fn the_command_is_what_follows() {
    let command = |line: &str| read(line, Place::Run).unwrap().1;
    assert_eq!(command("-e a ls -l"), words("ls -l"));
    assert_eq!(command("-e a -- ls -l"), words("ls -l"));
    assert_eq!(command("ls -- -l --help"), words("ls -- -l --help"));
    assert_eq!(command("-- -odd"), words("-odd"));
    assert_eq!(command("-- -- x"), words("-- x"));
    let (options, _) = read("-c ls -e x", Place::Run).unwrap();
    assert!(options.iter().all(|(name, _)| name != "filter"));
}

#[test]
fn what_does_not_fit_is_explained() {
    let message = refused("--fliter=a -- ls", Place::Run);
    assert!(
        message.starts_with("plugin demo: unexpected argument '--fliter'"),
        "{message}"
    );
    assert!(message.contains("--filter"), "{message}");
    assert!(refused("--top x -- ls", Place::Run).contains("invalid value 'x'"));
    assert!(refused("--top 99999999999999999999", Place::Quoted).contains("invalid value"));
    assert!(refused("-e", Place::Quoted).contains("a value is required"));
    assert!(refused("-c", Place::Run).contains("COMMAND"));
    assert!(refused("-c ls", Place::Attach).contains("'ls'"));
}

#[test]
fn help_is_no_failure() {
    assert!(matches!(read("--help", Place::Run), Err(Halt::Said(0))));
    let help = command(&plugin(), Place::Run).render_help().to_string();
    assert!(
        help.contains("-n, --top <N>") && help.contains("[default: 10]"),
        "{help}"
    );
    assert!(help.contains("kill"), "{help}");
}

#[test]
fn usage_has_the_users_words() {
    let usage = |place| super::usage("./a b.wasm", &plugin(), place);
    let run = "pai-host run ./a b.wasm [OPTIONS] [--] COMMAND [ARGS]...";
    assert_eq!(usage(Place::Run), run);
    assert_eq!(usage(Place::Quoted), "-t './a b.wasm [OPTIONS]'");
}

#[test]
fn quoted_plugins_are_split_as_in_a_shell() {
    assert_eq!(split("count").unwrap(), words("count"));
    assert_eq!(
        split("strace -e 'a b' --x=\"c d\"").unwrap(),
        ["strace", "-e", "a b", "--x=c d"]
    );
    for text in ["", "  ", "a 'b", "a \"b", "a \\"] {
        assert!(
            matches!(split(text), Err(Halt::Failed { code: 125, .. })),
            "{text}"
        );
    }
    assert!(select(&[], Place::Run, clap::ColorChoice::Never).is_err());
}
