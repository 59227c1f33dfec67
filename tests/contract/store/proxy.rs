//! A TCP proxy that can be cut: how a database goes away without stopping the server that other tests use.

use std::net::SocketAddr;
use std::sync::Mutex;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

pub(crate) struct Proxy {
    address: SocketAddr,
    server: (String, u16),
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Proxy {
    pub(crate) async fn start(host: &str, port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let proxy = Self { address, server: (host.to_owned(), port), task: Mutex::new(None) };
        proxy.serve(listener);
        proxy
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Closes all connections and refuses new ones.
    pub(crate) async fn cut(&self) {
        let task = self.task.lock().unwrap().take().expect("it is not cut already");
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }

    pub(crate) async fn restore(&self) {
        self.serve(TcpListener::bind(self.address).await.unwrap());
    }

    fn serve(&self, listener: TcpListener) {
        let server = self.server.clone();
        let task = tokio::spawn(async move {
            // Aborted with the task that owns them.
            let mut connections = JoinSet::new();
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let server = server.clone();
                connections.spawn(async move {
                    let mut server = TcpStream::connect(server).await.unwrap();
                    // It ends when either side closes, in whichever way.
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        *self.task.lock().unwrap() = Some(task);
    }
}
