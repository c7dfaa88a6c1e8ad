//! `true` without a tracer, and under strace.

use criterion::{Criterion, criterion_group, criterion_main};
use pai_benches::Variant;
use pai_benches::whole_run::{bench_variant, config};

fn bench_baseline_true(criterion: &mut Criterion) {
    bench_variant(criterion, "bench_baseline_true", Variant::Native);
}

fn bench_baseline_strace(criterion: &mut Criterion) {
    bench_variant(criterion, "bench_baseline_strace", Variant::Strace);
}

criterion_group! {
    name = benches;
    config = config();
    targets = bench_baseline_true, bench_baseline_strace
}
criterion_main!(benches);
