//! TLS before a plain server, as proxies end it.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::authority::Identity;

pub(crate) struct Terminator {
    address: SocketAddr,
    /// Whatever it has accepted ends with it.
    _runtime: Runtime,
}

impl Terminator {
    /// Before the server at `http://ADDRESS` or `http://ADDRESS/…`.
    pub(crate) fn before(plain: &str, identity: &Identity) -> Self {
        let rest = plain.strip_prefix("http://").expect("an http URL");
        let plain = rest.split('/').next().expect("an address").to_owned();
        let acceptor = TlsAcceptor::from(Arc::new(settings(identity)));
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(pass(acceptor.clone(), stream, plain.clone()));
            }
        });
        Self { address, _runtime: runtime }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }
}

async fn pass(acceptor: TlsAcceptor, stream: TcpStream, plain: String) {
    // Who does not believe the certificate breaks off, and that is what they are to do.
    let Ok(mut outside) = acceptor.accept(stream).await else { return };
    let mut inside = TcpStream::connect(plain).await.unwrap();
    // Either side may be done with the other at any time.
    let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
}

fn settings(identity: &Identity) -> ServerConfig {
    let certificate = CertificateDer::from_pem_file(&identity.certificate).unwrap();
    let key = PrivateKeyDer::from_pem_file(&identity.key).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    builder.with_single_cert(vec![certificate], key).unwrap()
}
