//! Tests of `net/splice`.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::*;
use crate::net::driver::{Driver, DriverPreference};
use crate::net::{Deadlines, Duplex, ReadHalf, Tcp};

/// A connection of the driver and its other end, which a thread uses with plain blocking calls.
fn pair(listener: &TcpListener) -> (Tcp, TcpStream) {
    let far = TcpStream::connect(listener.local_addr().expect("bound")).expect("connects");
    let (near, _) = listener.accept().expect("accepts");
    near.set_nonblocking(monoio::utils::is_legacy()).expect("mode");
    (Tcp::new(monoio::net::TcpStream::from_std(near).expect("a stream")), far)
}

/// A table of deadlines that is swept every 10 ms.
fn deadlines() -> Rc<Deadlines> {
    let (deadlines, start) = (Rc::new(Deadlines::default()), Instant::now());
    let swept = Rc::clone(&deadlines);
    monoio::spawn(async move {
        loop {
            monoio::time::sleep(Duration::from_millis(10)).await;
            swept.sweep(start.elapsed());
        }
    });
    deadlines
}

fn body(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 31 % 251) as u8).collect()
}

#[test]
fn long_body_arrives_whole_and_sockets_stay_usable() {
    for wanted in [DriverPreference::Auto, DriverPreference::Epoll] {
        let mut driver = Driver::build(wanted).expect("a driver");
        driver.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
            let (Duplex { mut reader, .. }, mut source) = pair(&listener);
            let (Duplex { mut writer, .. }, mut sink) = pair(&listener);
            let sent = body(3_000_000);
            let head = sent[..1000].to_vec();
            let copy = sent[1000..].to_vec();
            let feeding = std::thread::spawn(move || {
                source.write_all(&copy).expect("sends");
                source.write_all(b"next message").expect("sends");
                source
            });
            let reading = std::thread::spawn(move || {
                let mut got = vec![0; 3_000_000];
                sink.read_exact(&mut got).expect("receives");
                got
            });
            let pipes = PipePool::default();
            let moved = Cell::new(0);
            let deadlines = deadlines();
            let stall = deadlines.limit(Duration::from_secs(10));
            let (from, to) = (&mut reader, &mut writer);
            let transfer =
                Transfer { from, to, head: &head, count: 2_999_000, stall, in_good_pieces: true, pace: None };
            transfer.run(pipes.lend().expect("a pipe"), &pipes, &moved, || ()).await.expect("moves");
            assert_eq!(moved.get(), 2_999_000);
            assert!(reading.join().expect("reads") == sent);
            let (n, next) = reader.read(Vec::with_capacity(64)).await;
            assert_eq!((n.expect("reads on"), next.as_slice()), (12, &b"next message"[..]));
            assert!(pipes.has_spare());
            drop(feeding.join());
        });
    }
}

#[test]
fn early_end_is_a_source_error_and_closed_receiver_a_sink_error() {
    let mut driver = Driver::build(DriverPreference::Auto).expect("a driver");
    driver.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let pipes = PipePool::default();
        let deadlines = deadlines();
        let stall = deadlines.limit(Duration::from_secs(5));
        let (Duplex { mut reader, .. }, mut source) = pair(&listener);
        let (Duplex { mut writer, .. }, sink) = pair(&listener);
        source.write_all(&body(1000)).expect("sends");
        drop(source);
        let moved = Cell::new(0);
        let (from, to) = (&mut reader, &mut writer);
        let cut = Transfer { from, to, head: &[], count: 5000, stall, in_good_pieces: true, pace: None }
            .run(pipes.lend().expect("a pipe"), &pipes, &moved, || ())
            .await;
        assert!(matches!(cut, Err(SpliceError::Source(_))), "{cut:?}");
        assert_eq!(moved.get(), 1000, "what came before the cut has been passed on");
        drop(sink);
        let (Duplex { mut reader, .. }, mut source) = pair(&listener);
        let feeding = std::thread::spawn(move || drop(source.write_all(&body(8_000_000))));
        let (from, to) = (&mut reader, &mut writer);
        let gone = Transfer { from, to, head: b"head", count: 8_000_000, stall, in_good_pieces: true, pace: None }
            .run(pipes.lend().expect("a pipe"), &pipes, &moved, || ())
            .await;
        assert!(matches!(gone, Err(SpliceError::Sink(_))), "{gone:?}");
        drop(reader);
        // The driver closes the socket later; until then the sending thread blocks.
        monoio::time::sleep(Duration::from_millis(50)).await;
        feeding.join().expect("ends");
        assert!(!pipes.has_spare(), "a pipe that may hold bytes is not used again");
    });
}

#[test]
fn head_is_sent_although_the_source_has_ended_or_failed() {
    for wanted in [DriverPreference::Auto, DriverPreference::Epoll] {
        let mut driver = Driver::build(wanted).expect("a driver");
        driver.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
            let (pipes, deadlines, moved) = (PipePool::default(), deadlines(), Cell::new(0));
            for is_reset in [false, true] {
                let (Duplex { mut reader, .. }, source) = pair(&listener);
                let (Duplex { mut writer, .. }, mut sink) = pair(&listener);
                if is_reset {
                    rustix::net::connect_unspec(&source).expect("a reset");
                }
                drop(source);
                reader.readable().await.expect("the end is there");
                let stall = deadlines.limit(Duration::from_secs(5));
                let (from, to) = (&mut reader, &mut writer);
                let cut = Transfer { from, to, head: b"head", count: 5000, stall, in_good_pieces: true, pace: None }
                    .run(pipes.lend().expect("a pipe"), &pipes, &moved, || ())
                    .await;
                assert!(matches!(cut, Err(SpliceError::Source(_))), "{cut:?}");
                sink.set_read_timeout(Some(Duration::from_secs(5))).expect("a socket option");
                let mut head = [0; 4];
                sink.read_exact(&mut head).expect("what was read before the end");
                assert_eq!((&head, moved.get()), (b"head", 0));
            }
        });
    }
}

/// Sends each piece only after the one before has arrived: if the transfer waited for more than one piece, it would wait indefinitely.
async fn in_pieces(pieces: &'static [usize]) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let (Duplex { mut reader, .. }, mut source) = pair(&listener);
    let (Duplex { mut writer, .. }, mut sink) = pair(&listener);
    sink.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket option");
    let far = std::thread::spawn(move || {
        for len in pieces {
            source.write_all(&vec![7; *len]).expect("sends");
            let mut got = vec![0; *len];
            sink.read_exact(&mut got).expect("arrives");
            assert!(got.iter().all(|byte| *byte == 7));
        }
        source.write_all(b"!").expect("sends");
        (source, sink)
    });
    let deadlines = deadlines();
    let stall = deadlines.limit(Duration::from_secs(10));
    let count = pieces.iter().sum::<usize>() as u64;
    let pipes = PipePool::default();
    let transfer =
        Transfer { from: &mut reader, to: &mut writer, head: &[], count, stall, in_good_pieces: true, pace: None };
    transfer.run(pipes.lend().expect("a pipe"), &pipes, &Cell::new(0), || ()).await.expect("moves");
    let (n, next) = reader.read(Vec::with_capacity(64)).await;
    assert_eq!((n.expect("reads on"), next.as_slice()), (1, &b"!"[..]), "one byte is enough again");
    drop(far.join().expect("ends"));
}

#[test]
fn pieces_of_a_waiting_sender_are_forwarded_at_once() {
    for wanted in [DriverPreference::IoUring, DriverPreference::Epoll] {
        let mut driver = Driver::build(wanted).expect("a driver");
        driver.block_on(async {
            in_pieces(&[4_999_999, 1]).await;
            in_pieces(&[600_000, 1, 300_000, 1000, 1000, 97_998, 1]).await;
            in_pieces(&[1000, 1, 30_000]).await;
        });
    }
}

#[test]
fn end_of_one_transfer_keeps_the_other_direction_nonblocking() {
    let mut driver = Driver::build(DriverPreference::Auto).expect("a driver");
    driver.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let (Duplex { mut reader, mut writer }, mut client) = pair(&listener);
        let (Duplex { reader: mut back_reader, writer: mut back_writer }, mut server) = pair(&listener);
        client.write_all(&body(25_000)).expect("sends");
        let mut rest = client.try_clone().expect("the same socket");
        let uploading = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(200));
            rest.write_all(&body(25_000)).expect("sends the rest, while the response is awaited");
        });
        let serving = std::thread::spawn(move || {
            let mut got = vec![0; 50_000];
            server.read_exact(&mut got).expect("the body");
            for _ in 0..2 {
                std::thread::sleep(Duration::from_millis(700));
                server.write_all(&body(25_000)).expect("sends a part of the response");
            }
            server
        });
        let (deadlines, pipes) = (deadlines(), PipePool::default());
        let (longest, ticked) = (Cell::new(Duration::ZERO), Cell::new(Instant::now()));
        let stall = deadlines.limit(Duration::from_secs(10));
        let up = async {
            let transfer = Transfer {
                from: &mut reader,
                to: &mut back_writer,
                head: &[],
                count: 50_000,
                stall,
                in_good_pieces: true,
                pace: None,
            };
            transfer.run(pipes.lend().expect("a pipe"), &pipes, &Cell::new(0), || ()).await.expect("the body moves");
        };
        let down = async {
            let transfer = Transfer {
                from: &mut back_reader,
                to: &mut writer,
                head: &[],
                count: 50_000,
                stall,
                in_good_pieces: true,
                pace: None,
            };
            transfer
                .run(pipes.lend().expect("a pipe"), &pipes, &Cell::new(0), || ())
                .await
                .expect("the response moves");
        };
        // While the thread blocks in a system call, this task does not run.
        let ticking = async {
            loop {
                longest.set(longest.get().max(ticked.replace(Instant::now()).elapsed()));
                monoio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let both = futures_util::future::join(up, down);
        futures_util::future::select(std::pin::pin!(both), std::pin::pin!(ticking)).await;
        let longest = longest.get().max(ticked.get().elapsed());
        assert!(longest < Duration::from_millis(500), "the thread stood still for {longest:?}");
        assert!(pipes.counts.is_empty(), "both sockets are blocking again");
        let mut response = vec![0; 50_000];
        client.read_exact(&mut response).expect("the response");
        assert!(response.chunks(25_000).all(|part| part == body(25_000)));
        uploading.join().expect("ends");
        drop(serving.join().expect("ends"));
    });
}

#[test]
fn dropped_transfer_restores_its_sockets() {
    let mut driver = Driver::build(DriverPreference::IoUring).expect("the ring");
    driver.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let (Duplex { mut reader, .. }, mut source) = pair(&listener);
        let (Duplex { mut writer, .. }, _sink) = pair(&listener);
        let (pipes, deadlines) = (PipePool::default(), deadlines());
        let stall = deadlines.limit(Duration::from_secs(10));
        let (from, to) = (&mut reader, &mut writer);
        let transfer = Transfer { from, to, head: &[], count: 1_000_000, stall, in_good_pieces: true, pace: None };
        let moved = Cell::new(0);
        let running = transfer.run(pipes.lend().expect("a pipe"), &pipes, &moved, || ());
        assert!(monoio::time::timeout(Duration::from_millis(2), running).await.is_err(), "nothing is sent");
        assert!(pipes.counts.is_empty());
        let waiting = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            source.write_all(b"!").expect("sends");
            source
        });
        // A socket still non-blocking would return at once; with the low-water mark still set, the read would never complete.
        let read = reader.read(Vec::with_capacity(16));
        let (n, byte) = monoio::time::timeout(Duration::from_secs(5), read).await.expect("one byte is enough");
        assert_eq!((n.expect("reads"), byte.as_slice()), (1, &b"!"[..]));
        drop(waiting.join().expect("ends"));
    });
}

#[test]
fn silent_source_times_out_only_with_a_minimum_rate() {
    let mut driver = Driver::build(DriverPreference::Auto).expect("a driver");
    driver.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let (Duplex { mut reader, .. }, _source) = pair(&listener);
        let (Duplex { mut writer, .. }, mut sink) = pair(&listener);
        let deadlines = deadlines();
        let stall = deadlines.limit(Duration::from_millis(30));
        let pipes = PipePool::default();
        let (from, to) = (&mut reader, &mut writer);
        let pace = &mut MinRate::default();
        let transfer = Transfer { from, to, head: b"head", count: 10, stall, in_good_pieces: true, pace: Some(pace) };
        let stalled = transfer.run(pipes.lend().expect("a pipe"), &pipes, &Cell::new(0), || ()).await;
        assert!(matches!(stalled, Err(SpliceError::Source(e)) if e.kind() == io::ErrorKind::TimedOut));
        let mut head = [0; 4];
        sink.read_exact(&mut head).expect("receives");
        assert_eq!(&head, b"head", "the head does not wait for the body");
        let (from, to) = (&mut reader, &mut writer);
        let transfer = Transfer { from, to, head: b"", count: 10, stall, in_good_pieces: true, pace: None };
        let moved = Cell::new(0);
        let waiting = transfer.run(pipes.lend().expect("a pipe"), &pipes, &moved, || ());
        assert!(
            monoio::time::timeout(Duration::from_millis(200), waiting).await.is_err(),
            "without a minimum rate there is no time limit"
        );
    });
}

#[test]
fn dripping_source_times_out_and_slow_source_does_not() {
    for wanted in [DriverPreference::Auto, DriverPreference::Epoll] {
        let mut driver = Driver::build(wanted).expect("a driver");
        driver.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
            // Both pause for no longer than a tenth of the stall timeout.
            for (piece, is_slow) in [(1, true), (4096, false)] {
                let (deadlines, pipes) = (deadlines(), PipePool::default());
                let stall = deadlines.limit(Duration::from_millis(200));
                let (Duplex { mut reader, .. }, mut source) = pair(&listener);
                let (Duplex { mut writer, .. }, sink) = pair(&listener);
                let count = 30 * piece as u64;
                let dripping = std::thread::spawn(move || {
                    for _ in 0..30 {
                        std::thread::sleep(Duration::from_millis(20));
                        if source.write_all(&vec![7; piece]).is_err() {
                            break;
                        }
                    }
                    (source, sink)
                });
                let mut pace = MinRate::default();
                let (from, to, pace) = (&mut reader, &mut writer, Some(&mut pace));
                let transfer = Transfer { from, to, head: &[], count, stall, in_good_pieces: false, pace };
                let outcome = transfer.run(pipes.lend().expect("a pipe"), &pipes, &Cell::new(0), || ()).await;
                let timed_out = matches!(&outcome, Err(SpliceError::Source(e)) if e.kind() == io::ErrorKind::TimedOut);
                assert_eq!((timed_out, outcome.is_ok()), (is_slow, !is_slow), "{piece}: {outcome:?}");
                drop(dripping.join().expect("ends"));
            }
        });
    }
}
