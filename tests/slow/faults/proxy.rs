//! Stands between pgbraid and a server, and meddles with what the server says on one of the connections.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::fault::Meddling;

pub struct Proxy {
    address: SocketAddr,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Meddles with the connection of this number, from 0.
    pub fn start(server: PathBuf, meddling: Meddling, connection: usize) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let ends = over.clone();
        let thread = std::thread::spawn(move || {
            for (number, client) in listener.incoming().enumerate() {
                if ends.load(Ordering::Relaxed) {
                    break;
                }
                let meddling = (number == connection).then_some(meddling);
                if let Ok(client) = client {
                    let _ = join(client, &server, meddling);
                }
            }
        });
        Proxy {
            address,
            over,
            thread: Some(thread),
        }
    }

    pub fn url(&self) -> String {
        format!("postgres://postgres@{}/postgres?connect_timeout=5", self.address)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// Passes on what either says. Both threads end when one of the two hangs up.
fn join(client: TcpStream, server: &Path, meddling: Option<Meddling>) -> io::Result<()> {
    client.set_nodelay(true)?;
    let server = UnixStream::connect(server)?;
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || {
        let _ = io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    std::thread::spawn(move || {
        let _ = pass_on(&server, &client, meddling);
        let _ = client.shutdown(Shutdown::Both);
        let _ = server.shutdown(Shutdown::Both);
    });
    Ok(())
}

fn pass_on(mut server: &UnixStream, mut client: &TcpStream, meddling: Option<Meddling>) -> io::Result<()> {
    let (mut passed, mut done) = (0, false);
    let mut buffer = [0; 8_192];
    loop {
        let read = server.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        let bytes = &mut buffer[..read];
        let within = |place: u64| {
            let at = place.checked_sub(passed).and_then(|at| usize::try_from(at).ok());
            at.filter(|&at| at < read && !done)
        };
        match meddling {
            Some(Meddling::Cut(place)) => {
                if let Some(at) = within(place) {
                    return client.write_all(&bytes[..at]);
                }
            }
            Some(Meddling::Delay(place, time)) => {
                if let Some(at) = within(place) {
                    client.write_all(&bytes[..at])?;
                    std::thread::sleep(time);
                    client.write_all(&bytes[at..])?;
                    (passed, done) = (passed + read as u64, true);
                    continue;
                }
            }
            Some(Meddling::Garble(place)) => {
                if let Some(at) = within(place) {
                    bytes[at] ^= 0xa5;
                    done = true;
                }
            }
            None => {}
        }
        client.write_all(bytes)?;
        passed += read as u64;
    }
}
