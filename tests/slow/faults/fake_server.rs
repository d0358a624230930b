//! Servers that do not speak as PostgreSQL does.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// What a server says instead.
#[derive(Debug, Clone, Copy)]
pub enum Nonsense {
    Random(u64),
    /// A message of this length.
    Length(i32),
    EndlessNotices,
    EndlessRows,
    Silent,
    EarlyEnd,
    HalfMessage,
    Http,
}

/// How far a server speaks as it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    Connected,
    Started,
    /// It has told its version.
    Asked,
}

pub struct FakeServer {
    address: std::net::SocketAddr,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl FakeServer {
    pub fn start(nonsense: Nonsense, until: Until) -> FakeServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let ends = over.clone();
        let thread = std::thread::spawn(move || {
            let mut served = Vec::new();
            for stream in listener.incoming() {
                if ends.load(Ordering::Relaxed) {
                    break;
                }
                let ends = ends.clone();
                // the client hangs up when it likes
                served.push(std::thread::spawn(move || {
                    let _ = stream.and_then(|stream| serve(stream, nonsense, until, &ends));
                }));
            }
            served.into_iter().for_each(|thread| thread.join().unwrap());
        });
        FakeServer {
            address,
            over,
            thread: Some(thread),
        }
    }

    pub fn url(&self) -> String {
        format!("postgres://me@{}/postgres?connect_timeout=2", self.address)
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn serve(mut stream: TcpStream, nonsense: Nonsense, until: Until, over: &AtomicBool) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_millis(100)))?;
    stream.set_write_timeout(Some(Duration::from_secs(2)))?;
    hear(&mut stream, over)?;
    if until != Until::Connected {
        stream.write_all(&[message(b'R', &0_u32.to_be_bytes()), ready()].concat())?;
        hear(&mut stream, over)?;
    }
    if until == Until::Asked {
        let column = [
            &1_u16.to_be_bytes()[..],
            b"server_version_num\0",
            &[0; 6],
            &25_u32.to_be_bytes(),
            &[0xff; 6],
            &[0; 2],
        ];
        let row = [&1_u16.to_be_bytes()[..], &6_u32.to_be_bytes(), b"150018"];
        let reply = [
            message(b'T', &column.concat()),
            message(b'D', &row.concat()),
            message(b'C', b"SHOW\0"),
            ready(),
        ];
        stream.write_all(&reply.concat())?;
        hear(&mut stream, over)?;
    }
    let goes_on = || !over.load(Ordering::Relaxed);
    match nonsense {
        Nonsense::Random(seed) => {
            let mut rng = SmallRng::seed_from_u64(seed);
            let bytes: Vec<u8> = (0..rng.random_range(1..5_000)).map(|_| rng.random()).collect();
            stream.write_all(&bytes)
        }
        Nonsense::Length(length) => {
            stream.write_all(b"D")?;
            stream.write_all(&length.to_be_bytes())?;
            // as much as is taken, up to 64 MB
            let chunk = [b'x'; 65_536];
            let mut chunks = 0..1_000;
            while goes_on() && chunks.next().is_some() {
                stream.write_all(&chunk)?;
            }
            Ok(())
        }
        Nonsense::EndlessNotices => {
            let notice = message(b'N', b"SNOTICE\0VNOTICE\0C00000\0Mand another thing\0\0").repeat(1_000);
            while goes_on() {
                stream.write_all(&notice)?;
            }
            Ok(())
        }
        Nonsense::EndlessRows => {
            let row = [&1_u16.to_be_bytes()[..], &6_u32.to_be_bytes(), b"150018"].concat();
            let rows = message(b'D', &row).repeat(1_000);
            while goes_on() {
                stream.write_all(&rows)?;
            }
            Ok(())
        }
        Nonsense::Silent => {
            while goes_on() {
                hear(&mut stream, over)?;
            }
            Ok(())
        }
        Nonsense::EarlyEnd => Ok(()),
        Nonsense::HalfMessage => stream.write_all(b"E\0\0\0\x50SFATAL\0"),
        Nonsense::Http => stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"),
    }
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[kind][..], &length.to_be_bytes(), body].concat()
}

fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}

/// Waits until the client has said something.
fn hear(stream: &mut TcpStream, over: &AtomicBool) -> io::Result<()> {
    let mut heard = [0; 4_096];
    while !over.load(Ordering::Relaxed) {
        match stream.read(&mut heard) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => return Ok(()),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
