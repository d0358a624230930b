//! What listens at the address that was given is no PostgreSQL server, or sends what none does.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::common::program::{Finished, Place, Started, finish, fixture};

/// Listens until the test ends, and does the same to everybody who connects. Returns the connection string.
fn listen(act: impl Fn(&mut TcpStream) -> std::io::Result<()> + Send + Clone + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let act = act.clone();
            std::thread::spawn(move || {
                let mut stream = stream.unwrap();
                read_message(&mut stream, 0)?;
                act(&mut stream)
            });
        }
    });
    format!("postgres://me@127.0.0.1:{port}/postgres")
}

/// Reads a message of the client's, with a type of so many bytes ahead of its length.
fn read_message(stream: &mut TcpStream, of_type: usize) -> std::io::Result<()> {
    let mut header = vec![0; of_type + 4];
    stream.read_exact(&mut header)?;
    let length = u32::from_be_bytes(header[of_type..].try_into().unwrap());
    stream.read_exact(&mut vec![0; length as usize - 4])
}

fn message(of_type: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[of_type], &length[..], body].concat()
}

fn authentication(method: u32) -> Vec<u8> {
    message(b'R', &method.to_be_bytes())
}

/// Lets the client in, as process 7, and reads its first query.
fn let_in(stream: &mut TcpStream) -> std::io::Result<()> {
    let key = message(b'K', &[0, 0, 0, 7, 0, 0, 0, 1]);
    stream.write_all(&[authentication(0), key, message(b'Z', b"I")].concat())?;
    read_message(stream, 1)
}

fn explore(url: &str) -> Finished {
    let place = Place::new();
    let mut command = place.explore(&fixture("counter"));
    command.args(["--database-url", url]);
    finish(command)
}

#[test]
fn nonsense_at_the_start_is_an_error_of_the_environment() {
    let not_postgres = "does not answer as a PostgreSQL server does";
    for (sent, said) in [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), not_postgres),
        (b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), not_postgres),
        (b"R\xff\xff\xff\xff".to_vec(), not_postgres),
        (b"R\0\0\0\x03".to_vec(), not_postgres),
        (b"R\x7f\xff\xff\xff".to_vec(), not_postgres),
        (message(b'?', b""), not_postgres),
        (Vec::new(), "the server closed it"),
        (b"R\0".to_vec(), "the server closed it"),
        (authentication(99), "unknown authentication"),
        (authentication(7), "asks for Kerberos"),
        (authentication(6), "asks for credentials of the socket"),
        (message(b'R', b"\0\0\0\x0aOAUTHBEARER\0\0"), "other than SCRAM-SHA-256"),
        (message(b'E', b"\0"), "an error without an SQLSTATE"),
        (message(b'E', b"C57P03\0MLater\0\0"), "57P03 Later"),
        ([authentication(0), message(b'Z', b"I")].concat(), "has no number"),
    ] {
        let shown = String::from_utf8_lossy(&sent).into_owned();
        let url = listen(move |stream| stream.write_all(&sent));
        let run = explore(&url);
        println!("{shown:?}");
        run.assert_error(3, &[said]);
    }
}

#[test]
fn messages_without_end_are_not_read_without_end() {
    let endless = |of_type: u8, body: Vec<u8>, let_in_first: bool| {
        let url = listen(move |stream| {
            match let_in_first {
                true => let_in(stream)?,
                false => stream.write_all(&authentication(0))?,
            }
            let sent = message(of_type, &body).repeat(10);
            loop {
                stream.write_all(&sent)?;
            }
        });
        explore(&url)
    };
    let notice = || [b"SNOTICE\0C00000\0M", &b"x".repeat(60_000)[..], b"\0\0"].concat();
    let setting = || [b"x\0", &b"y".repeat(60_000)[..], b"\0"].concat();
    for (of_type, body) in [(b'N', notice()), (b'S', setting())] {
        endless(of_type, body, false).assert_error(3, &["a message is too long, or there are too many"]);
    }
    let tag = || [&b"x".repeat(60_000)[..], b"\0"].concat();
    for (of_type, body) in [(b'N', notice()), (b'S', setting()), (b'C', tag())] {
        endless(of_type, body, true).assert_error(3, &["more than 256 MB in one reply"]);
    }
}

#[test]
fn a_reply_that_makes_no_sense_is_an_error_of_the_environment() {
    let column = || message(b'T', b"\0\x01a\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0");
    for (sent, said) in [
        (b"D\xff\xff\xff\xff".to_vec(), "more than 256 MB in one reply"),
        (b"D\x40\0\0\0".to_vec(), "more than 256 MB in one reply"),
        (message(b'D', b"\0\0"), "a row without a description"),
        (
            [column(), message(b'D', b"\0\0")].concat(),
            "a row of 0 values where 1 were announced",
        ),
        (
            [column(), message(b'D', b"\0\x01\0\0\0\x09")].concat(),
            "unexpected EOF",
        ),
        (message(b'E', b"SERROR\0\0"), "an error without an SQLSTATE"),
    ] {
        let url = listen(move |stream| {
            let_in(stream)?;
            stream.write_all(&sent)?;
            // what was sent has to be enough
            stream.read_exact(&mut [0])
        });
        explore(&url).assert_error(3, &[said]);
    }
}

/// A pooler announces a process of its own.
#[test]
fn a_pooler_is_told_apart_from_the_server() {
    let url = listen(|stream| {
        let_in(stream)?;
        let column = message(b'T', b"\0\x01a\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0");
        let row = message(b'D', b"\0\x01\0\0\0\x018");
        stream.write_all(&[column, row, message(b'C', b"SELECT 1\0"), message(b'Z', b"I")].concat())?;
        stream.read_exact(&mut [0])
    });
    explore(&url).assert_error(3, &["a connection pooler", "name the server itself"]);
    let refuses = message(b'E', b"C08P01\0Munsupported startup parameter: IntervalStyle\0\0");
    let url = listen(move |stream| stream.write_all(&refuses));
    explore(&url).assert_error(3, &["a connection pooler"]);
}

#[test]
fn a_server_that_says_nothing_is_not_waited_for_without_end() {
    let silent = listen(|stream| stream.read_exact(&mut [0]));
    explore(&format!("{silent}?connect_timeout=1")).assert_error(3, &["no answer from 127.0.0.1:", "within 1s"]);
    let silent_later = listen(|stream| {
        let_in(stream)?;
        stream.read_exact(&mut [0])
    });
    explore(&format!("{silent_later}?connect_timeout=1")).assert_error(3, &["no answer from", "within 1s"]);
}

#[test]
fn connecting_is_interrupted_at_once() {
    let connected = std::sync::Arc::new(std::sync::Barrier::new(2));
    let seen = connected.clone();
    let silent = listen(move |stream| {
        seen.wait();
        stream.read_exact(&mut [0])
    });
    let place = Place::new();
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut command = place.explore(&fixture("counter"));
        command.args(["--database-url", &silent]);
        let run = Started::new(command);
        connected.wait();
        let signalled = Instant::now();
        run.signal(signal);
        run.finish().assert_error(130, &["interrupted"]);
        assert!(
            signalled.elapsed() < Duration::from_secs(10),
            "{:?}",
            signalled.elapsed()
        );
    }
}

#[test]
fn a_result_that_is_too_large_ends_the_run() {
    let place = Place::new();
    let file = place.write(
        "large.toml",
        "setup = \"CREATE TABLE t ()\"\n[[session]]\nname = \"a\"\n\
         steps = [\"SELECT repeat('x', 1000000) FROM generate_series(1, 300)\"]\n",
    );
    finish(place.explore(&file)).assert_error(3, &["session a, step select", "more than 256 MB in one reply"]);
}
