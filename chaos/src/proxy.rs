//! A TCP proxy between a replica and its broker, which can hold back, slow down and reset what goes through it.
//!
//! Threads, two per connection: a run has a few dozen connections, and blocking reads are the simplest thing that does it.
//! They end with their connection, and every connection ends with the proxy.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use socket2::SockRef;

/// How often a thread that reads looks whether it is to end.
const LOOK: Duration = Duration::from_millis(100);
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
const BUFFER_BYTES: usize = 64 * 1024;

/// What the network does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weather {
    Fair,
    /// Nothing arrives, in either direction, and nobody is told: as if a cable were cut.
    Cut,
    /// Each piece arrives so much later.
    Slow(Duration),
    /// It is no more.
    Gone,
}

struct State {
    weather: Weather,
    /// Rises when all connections of before are to go.
    generation: u64,
    upstream: SocketAddr,
    open: Vec<TcpStream>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A listener and what goes through it.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Listens; leads nowhere before [`Self::lead_to`].
    ///
    /// # Errors
    /// No port can be had.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("bind a proxy")?;
        let port = listener.local_addr()?.port();
        let upstream = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let state = State { weather: Weather::Fair, generation: 0, upstream, open: Vec::new() };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &accepting));
        Ok(Self { port, shared })
    }

    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    pub fn lead_to(&self, port: u16) {
        self.shared.lock().upstream = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    }

    /// Holds everything back until [`Self::mend`].
    pub fn cut(&self) {
        self.set(Weather::Cut);
    }

    /// Delays each piece until [`Self::mend`].
    pub fn slow(&self, by: Duration) {
        self.set(Weather::Slow(by));
    }

    /// All is well again. Connections that were cut are reset, as they are by routers that have forgotten them.
    pub fn mend(&self) {
        if self.shared.lock().weather == Weather::Cut {
            self.reset();
        }
        self.set(Weather::Fair);
    }

    /// Resets every connection (RST, not FIN).
    pub fn reset(&self) {
        let open = {
            let mut state = self.shared.lock();
            state.generation += 1;
            std::mem::take(&mut state.open)
        };
        for stream in open {
            // One that is closed already needs no reset.
            let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.shared.changed.notify_all();
    }

    fn set(&self, weather: Weather) {
        self.shared.lock().weather = weather;
        self.shared.changed.notify_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.set(Weather::Gone);
        self.reset();
        // Wakes the thread that accepts, which sees that it is over.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        let (weather, upstream) = {
            let state = shared.lock();
            (state.weather, state.upstream)
        };
        if weather == Weather::Gone {
            return;
        }
        // A client that is gone already, or a broker that is down: the client sees its connection close.
        let Ok(client) = client else { continue };
        let Ok(server) = TcpStream::connect_timeout(&upstream, CONNECT_LIMIT) else { continue };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let copies = (client.try_clone(), server.try_clone(), client.try_clone(), server.try_clone());
        let (Ok(from_client), Ok(to_server), Ok(kept_client), Ok(kept_server)) = copies else { continue };
        let generation = {
            let mut state = shared.lock();
            state.open.extend([kept_client, kept_server]);
            state.generation
        };
        for (from, to) in [(from_client, to_server), (server, client)] {
            let shared = Arc::clone(shared);
            thread::spawn(move || carry(from, to, generation, &shared));
        }
    }
}

/// Carries one direction until either end closes or the proxy resets it.
fn carry(mut from: TcpStream, mut to: TcpStream, generation: u64, shared: &Shared) {
    let _ = from.set_read_timeout(Some(LOOK));
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if shared.lock().generation != generation {
                    break;
                }
                continue;
            }
            Err(_) => break,
        };
        if !fair(generation, shared) || to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

/// Waits until a piece may go on; false if its connection has been reset meanwhile.
fn fair(generation: u64, shared: &Shared) -> bool {
    let mut state = shared.lock();
    while state.weather == Weather::Cut && state.generation == generation {
        state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
    let (weather, same) = (state.weather, state.generation == generation);
    drop(state);
    if let Weather::Slow(by) = weather {
        // The delay is what this is for.
        thread::sleep(by);
    }
    same
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers each byte with the same one, and a proxy before it.
    fn echo() -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let proxy = Proxy::start().unwrap();
        proxy.lead_to(listener.local_addr().unwrap().port());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                thread::spawn(move || {
                    let mut byte = [0];
                    while stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {}
                });
            }
        });
        proxy
    }

    fn client(proxy: &Proxy) -> TcpStream {
        let client = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        client
    }

    fn answer(client: &mut TcpStream, byte: u8) -> std::io::Result<u8> {
        client.write_all(&[byte])?;
        let mut answer = [0];
        client.read_exact(&mut answer)?;
        Ok(answer[0])
    }

    #[test]
    fn bytes_go_through_and_come_back() {
        let proxy = echo();
        let mut client = client(&proxy);
        assert_eq!(answer(&mut client, 7).unwrap(), 7);
        assert_eq!(answer(&mut client, 8).unwrap(), 8);
    }

    #[test]
    fn nothing_arrives_while_it_is_cut_and_then_the_connection_is_reset() {
        let proxy = echo();
        let mut cut = client(&proxy);
        assert_eq!(answer(&mut cut, 1).unwrap(), 1);
        proxy.cut();
        cut.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let waited = answer(&mut cut, 2).unwrap_err();
        assert!(matches!(waited.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{waited}");
        proxy.mend();
        cut.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        assert!(answer(&mut cut, 3).is_err());
        assert_eq!(answer(&mut client(&proxy), 4).unwrap(), 4);
    }

    #[test]
    fn a_delay_is_a_delay() {
        let proxy = echo();
        let mut client = client(&proxy);
        assert_eq!(answer(&mut client, 1).unwrap(), 1);
        proxy.slow(Duration::from_millis(200));
        let begin = std::time::Instant::now();
        assert_eq!(answer(&mut client, 2).unwrap(), 2);
        assert!(begin.elapsed() >= Duration::from_millis(400), "{:?}", begin.elapsed());
        proxy.mend();
        assert_eq!(answer(&mut client, 3).unwrap(), 3);
    }

    #[test]
    fn a_reset_ends_what_is_open() {
        let proxy = echo();
        let mut before = client(&proxy);
        assert_eq!(answer(&mut before, 1).unwrap(), 1);
        proxy.reset();
        assert!(answer(&mut before, 2).is_err());
        assert_eq!(answer(&mut client(&proxy), 3).unwrap(), 3);
    }
}
