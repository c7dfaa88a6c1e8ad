//! `true` under a tracer in this process, every entry and exit: the least that
//! `pai-ptrace` can do, and the engine with a native client.

use std::time::Instant;

use anyhow::{Result, ensure};
use criterion::{Criterion, criterion_group, criterion_main};
use pai_benches::whole_run::{bench, config, or_exit};
use pai_benches::{Counts, Variant, engine, minimal, programs, truth};
use pai_engine::ExitStatus;
use pai_ptrace::Program;

type Traced = (Counts, Option<ExitStatus>);

fn bench_in_process(
    criterion: &mut Criterion,
    name: &str,
    variant: Variant,
    trace: impl Fn(&Program) -> Result<Traced>,
) {
    let target = or_exit(programs::true_());
    let truth = or_exit(truth::of(&target));
    let program = or_exit(programs::program(&target));
    bench(criterion, name, || {
        let start = Instant::now();
        let (counts, status) = trace(&program)?;
        let took = start.elapsed();
        ensure!(
            status == Some(ExitStatus::Exited(0)),
            "{name}: the target ended with {status:?}"
        );
        truth::check_all(variant, &counts, &truth)?;
        Ok(took)
    });
}

fn bench_trace_inner(criterion: &mut Criterion) {
    bench_in_process(
        criterion,
        "bench_trace_inner",
        Variant::Minimal,
        |program| Ok(minimal::trace(program)?),
    );
}

fn bench_trace_outer(criterion: &mut Criterion) {
    bench_in_process(
        criterion,
        "bench_trace_outer",
        Variant::Engine,
        engine::trace,
    );
}

criterion_group! {
    name = benches;
    config = config();
    targets = bench_trace_inner, bench_trace_outer
}
criterion_main!(benches);
