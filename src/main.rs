//! The `coafi` binary: all of it is in the library, so that tests reach it.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Whoever starts OpenSSL first says whether it cleans up at exit; this says no. A command ends with clients whose threads
    // still speak SASL or TLS, and these would crash in what was torn down (openssl/openssl#6214).
    openssl_sys::init();
    // Who asks for "the" cryptography panics where two are linked: sqlx does, for `sslmode=verify-ca`.
    rustls::crypto::aws_lc_rs::default_provider().install_default().expect("nothing has used TLS yet");
    coafi::cli::main()
}
