//! `true` under the host with a plugin, start-up of the host included.

use criterion::{Criterion, criterion_group, criterion_main};
use pai_benches::Variant;
use pai_benches::whole_run::{bench_variant, config};

fn bench_trace_strace_raw(criterion: &mut Criterion) {
    bench_variant(criterion, "bench_trace_strace_raw", Variant::HostRaw);
}

fn bench_trace_strace_basic(criterion: &mut Criterion) {
    bench_variant(criterion, "bench_trace_strace_basic", Variant::HostBasic);
}

fn bench_trace_strace_full(criterion: &mut Criterion) {
    bench_variant(criterion, "bench_trace_strace_full", Variant::HostStrace);
}

fn bench_trace_wasm_noop(criterion: &mut Criterion) {
    bench_variant(criterion, "bench_trace_wasm_noop", Variant::Noop);
}

criterion_group! {
    name = benches;
    config = config();
    targets = bench_trace_strace_raw, bench_trace_strace_basic, bench_trace_strace_full,
        bench_trace_wasm_noop
}
criterion_main!(benches);
