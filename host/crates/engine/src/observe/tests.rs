//! What comes out of the buffer, without a target.

use super::*;

fn stop(tid: i32, nr: u32, ret: Option<i64>) -> SyscallStop {
    SyscallStop {
        pid: Pid::new(1),
        tid: Tid::new(tid),
        call: SyscallId { abi: 1, nr },
        args: [0; 6],
        ret,
        restarts: false,
        continues: None,
        entry_seen: true,
        touched: Touched::default(),
        ip: 0,
        sp: 0,
        at: 10,
        took: 0,
    }
}

fn shape(batch: &Batch<'_>) -> Vec<(i32, u32, RecordFlags)> {
    batch
        .calls
        .iter()
        .map(|r| (r.tid.get(), r.call.nr, r.flags))
        .collect()
}

const DONE: RecordFlags = RecordFlags::empty();

#[test]
fn an_entry_is_a_record_only_when_something_comes_in_between() {
    let (mut producer, mut consumer) = buffer(64, Overflow::Drop);
    producer.enter(&stop(1, 7, None), &[]);
    producer.exit(&stop(1, 7, Some(0)), &[]);
    producer.enter(&stop(1, 8, None), &[]);
    producer.enter(&stop(2, 9, None), &[]);
    producer.exit(&stop(2, 9, Some(0)), &[]);
    producer.exit(&stop(1, 8, Some(0)), &[]);
    producer.enter(&stop(1, 231, None), &[]);
    producer.no_return(&stop(1, 231, None), &[]);
    producer.end(&End::Detached);
    let batch = consumer.next_batch(100, Duration::ZERO);
    assert_eq!(
        shape(&batch),
        [
            (1, 7, DONE),
            (1, 8, RecordFlags::UNFINISHED),
            (2, 9, DONE),
            (1, 8, DONE),
            (1, 231, RecordFlags::NO_RETURN),
        ]
    );
    assert!(batch.last);
}

#[test]
fn a_blocked_call_shows_when_nothing_else_happens() {
    let (mut producer, mut consumer) = buffer(64, Overflow::Drop);
    producer.enter(&stop(1, 0, None), &[]);
    let batch = consumer.next_batch(100, Duration::from_secs(60));
    assert_eq!(shape(&batch), [(1, 0, RecordFlags::UNFINISHED)]);
    producer.exit(&stop(1, 0, Some(3)), &[]);
    let batch = consumer.next_batch(100, Duration::from_secs(60));
    assert_eq!(shape(&batch), [(1, 0, DONE)]);
}

#[test]
fn what_does_not_fit_is_counted() {
    let (mut producer, mut consumer) = buffer(3, Overflow::Drop);
    for nr in 0..10 {
        producer.exit(&stop(1, nr, Some(0)), &[]);
    }
    let batch = consumer.next_batch(100, Duration::ZERO);
    assert_eq!((batch.calls.len(), batch.lost), (3, 7));
    producer.exit(&stop(1, 11, Some(0)), &[]);
    let batch = consumer.next_batch(100, Duration::from_secs(60));
    assert_eq!((batch.calls.len(), batch.lost), (1, 0));
}

#[test]
fn blocking_gives_up_at_its_limit() {
    let (mut producer, mut consumer) = buffer(1, Overflow::Block(Duration::from_millis(1)));
    producer.exit(&stop(1, 1, Some(0)), &[]);
    producer.exit(&stop(1, 2, Some(0)), &[]);
    assert_eq!(consumer.next_batch(9, Duration::ZERO).lost, 1);
}

#[test]
fn blocking_goes_on_while_there_is_an_excuse() {
    let (mut producer, mut consumer) = buffer(1, Overflow::Block(Duration::from_millis(1)));
    let asked = std::rc::Rc::new(std::cell::Cell::new(0));
    let times = std::rc::Rc::clone(&asked);
    producer.excuse_while(move || {
        times.set(times.get() + 1);
        times.get() < 5
    });
    producer.exit(&stop(1, 1, Some(0)), &[]);
    assert_eq!(asked.get(), 0);
    producer.exit(&stop(1, 2, Some(0)), &[]);
    assert_eq!(asked.get(), 5);
    assert_eq!(consumer.next_batch(9, Duration::ZERO).lost, 1);
}

/// Each would wait for the other.
#[test]
fn nobody_waits_for_an_observer_that_asks_for_something() {
    let (mut producer, mut consumer) = buffer(1, Overflow::Block(Duration::from_secs(60)));
    producer.exit(&stop(1, 1, Some(0)), &[]);
    let (answer, answered) = std::sync::mpsc::channel();
    let observer = std::thread::spawn(move || {
        let answer: Result<(), _> = consumer.while_asking(|| answered.recv());
        answer.expect("it comes");
        let batch = consumer.next_batch(9, Duration::ZERO);
        (shape(&batch).len(), batch.lost)
    });
    producer.exit(&stop(1, 2, Some(0)), &[]);
    producer.event(&Event::Timeout);
    answer.send(()).expect("it waits");
    assert_eq!(observer.join().expect("no panic"), (2, 0));
}

/// However little there is in what takes much room.
#[test]
fn events_count_by_what_they_hold() {
    let (mut producer, mut consumer) = buffer(1 << 20, Overflow::Drop);
    let exec = Event::Execed(Box::new(Execed {
        pid: Pid::new(1),
        former: Tid::new(1),
        path: Vec::new(),
        argv: vec![Vec::new(); 60_000],
        abi: 0,
        at: 0,
    }));
    for _ in 0..100 {
        producer.event(&exec);
    }
    let batch = consumer.next_batch(1000, Duration::ZERO);
    let each = 60_000 * size_of::<Vec<u8>>();
    let kept = MAX_BYTES.div_ceil(each + size_of::<Execed>());
    assert_eq!(batch.others().len(), kept);
    assert_eq!(batch.lost, 100 - kept as u64);
}

#[test]
fn batches_of_any_size_keep_the_order() {
    for max in 1..12 {
        let (mut producer, mut consumer) = buffer(64, Overflow::Drop);
        let mut expected = Vec::new();
        for n in 0..5_u32 {
            producer.event(&Event::Lost(u64::from(n)));
            expected.push(format!("e{n}"));
            producer.exit(&stop(1, n, Some(0)), &[]);
            producer.exit(&stop(1, n, Some(0)), &[]);
            expected.extend([format!("c{n}"), format!("c{n}")]);
        }
        producer.end(&End::Detached);
        expected.push("end".into());
        let mut seen = Vec::new();
        loop {
            let batch = consumer.next_batch(max, Duration::from_secs(60));
            assert!(batch.calls.len() + batch.others().len() <= max);
            let mut others = batch.others().peekable();
            for place in 0..=batch.calls.len() {
                while let Some((_, event)) = others.next_if(|(at, _)| *at as usize == place) {
                    seen.push(match event {
                        Event::Lost(n) => format!("e{n}"),
                        _ => "end".into(),
                    });
                }
                if let Some(call) = batch.calls.get(place) {
                    seen.push(format!("c{}", call.call.nr));
                }
            }
            assert_eq!(others.next(), None);
            if batch.last {
                break;
            }
        }
        assert_eq!(seen, expected, "batches of {max}");
    }
}

#[test]
fn an_observer_on_another_thread_gets_everything() {
    let (mut producer, mut consumer) = buffer(100_000, Overflow::Drop);
    let observer = std::thread::spawn(move || {
        let mut calls = 0;
        loop {
            let batch = consumer.next_batch(1024, Duration::from_secs(60));
            assert_eq!(batch.lost, 0);
            calls += batch.calls.len();
            if batch.last {
                return calls;
            }
        }
    });
    for nr in 0..50_000 {
        producer.enter(&stop(1, nr, None), &[]);
        producer.exit(&stop(1, nr, Some(0)), &[]);
    }
    producer.end(&End::Detached);
    // Entries may show as records of their own when the observer is quick.
    assert!(observer.join().unwrap() >= 50_000);
}

#[test]
fn what_was_taken_is_given_without_the_tracer() {
    let (mut producer, mut consumer) = buffer(64, Overflow::Drop);
    for nr in 0..8 {
        producer.exit(&stop(1, nr, Some(0)), &[1, 2]);
    }
    let numbers = |batch: Batch<'_>| -> Vec<u32> {
        assert_eq!(batch.captured.len(), 2 * batch.calls.len());
        batch.calls.iter().map(|r| r.call.nr).collect()
    };
    let day = Duration::from_secs(86_400);
    assert_eq!(numbers(consumer.next_batch(3, day)), [0, 1, 2]);
    let shared = Arc::clone(&producer.shared);
    let held = shared.lock();
    assert_eq!(numbers(consumer.next_batch(3, day)), [3, 4, 5]);
    assert_eq!(numbers(consumer.next_batch(3, day)), [6, 7]);
    drop(held);
    assert_eq!(numbers(consumer.next_batch(3, Duration::ZERO)), []);
}

#[test]
fn a_nap_ends_when_the_buffer_fills() {
    let (mut producer, _consumer) = buffer(16, Overflow::Drop);
    producer.shared.lock().napping = true;
    for nr in 0..3 {
        producer.exit(&stop(1, nr, Some(0)), &[]);
        assert!(producer.shared.lock().napping);
    }
    producer.exit(&stop(1, 3, Some(0)), &[]);
    assert!(!producer.shared.lock().napping);
}
