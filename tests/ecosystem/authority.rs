//! A certificate authority of one test's own, made by openssl: nobody believes it who was not told of it.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::tools::printed;

const DAYS: &str = "2";

pub(crate) struct Authority {
    directory: TempDir,
}

/// Who somebody is, and the proof.
pub(crate) struct Identity {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let authority = Self { directory: tempfile::tempdir().unwrap() };
        // openssl's own configuration would add what it thinks best.
        std::fs::write(authority.path("openssl.cnf"), "[req]\ndistinguished_name = name\n[name]\n").unwrap();
        authority.make("authority", &["-addext", "basicConstraints=critical,CA:TRUE"]);
        authority
    }

    /// What those are given who are to believe it.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.path("authority.pem")
    }

    /// Of a client that is called so, or of a server at 127.0.0.1.
    pub(crate) fn certify(&self, name: &str) -> Identity {
        let extensions = ["-addext", "basicConstraints=critical,CA:FALSE", "-addext", "subjectAltName=IP:127.0.0.1"];
        let signed = ["-CA", "authority.pem", "-CAkey", "authority.key"];
        self.make(name, &[extensions, signed].concat());
        Identity { certificate: self.path(&format!("{name}.pem")), key: self.path(&format!("{name}.key")) }
    }

    fn make(&self, name: &str, more: &[&str]) {
        let mut openssl = Command::new("openssl");
        openssl.current_dir(self.directory.path());
        openssl.args(["req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
        openssl.args(["-config", "openssl.cnf", "-days", DAYS, "-subj", &format!("/CN={name}")]).args(more);
        openssl.args(["-out", &format!("{name}.pem"), "-keyout", &format!("{name}.key")]);
        printed(openssl);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}
