//! Whether the machine, not the repository, is why something cannot be read: no file descriptors left, no permission, a
//! disk that is full or broken. That passes, or somebody repairs it; what a repository lacks stays lacking.

use std::error::Error;
use std::io::{self, ErrorKind};

/// Causes that are looked at: more than any error has, so that a cycle ends.
const CAUSES_MAX: usize = 64;

/// Whether `error`, or what caused it, is the system's answer to a call, other than that there is no such file: a repository
/// whose files are gone or cut short is corrupt.
pub(super) fn is_to_blame(error: &(dyn Error + 'static)) -> bool {
    let mut left = CAUSES_MAX;
    blames_machine(error, &mut left)
}

fn blames_machine(error: &(dyn Error + 'static), left: &mut usize) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let Some(fewer) = left.checked_sub(1) else { return false };
        *left = fewer;
        if let Some(error) = error.downcast_ref::<io::Error>() {
            // What is wrapped in an I/O error is no source of it.
            let inner = error.get_ref().is_some_and(|inner| blames_machine(inner, left));
            if inner || is_the_systems(error) {
                return true;
            }
        }
        // gix's own errors are trees; only the first branch is their source.
        if let Some(tree) = error.downcast_ref::<gix::Error>() {
            let errors = tree.iter_errors().filter_map(|error| error.downcast_ref::<io::Error>());
            if errors.take(CAUSES_MAX).any(is_the_systems) {
                return true;
            }
        }
        cause = error.source();
    }
    false
}

fn is_the_systems(error: &io::Error) -> bool {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::InvalidInput => false,
        ErrorKind::PermissionDenied
        | ErrorKind::OutOfMemory
        | ErrorKind::StorageFull
        | ErrorKind::QuotaExceeded
        | ErrorKind::ResourceBusy
        | ErrorKind::Interrupted
        | ErrorKind::TimedOut => true,
        // EMFILE and EIO, among others, have no kind of their own.
        _ => error.raw_os_error().is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("object cannot be read")]
    struct Wrapped(#[source] io::Error);

    fn check(error: io::Error, expected: bool) {
        let text = format!("{error:?}");
        assert_eq!(is_to_blame(&Wrapped(error)), expected, "{text}");
    }

    /// As Linux numbers them.
    #[test]
    fn what_the_system_refuses_is_the_machine_s() {
        let (eio, enomem, eacces, enfile, emfile, enospc, estale) = (5, 12, 13, 23, 24, 28, 116);
        for number in [eio, enomem, eacces, enfile, emfile, enospc, estale] {
            check(io::Error::from_raw_os_error(number), true);
            check(io::Error::other(Wrapped(io::Error::from_raw_os_error(number))), true);
            assert!(is_to_blame(&gix::Error::from_error(Wrapped(io::Error::from_raw_os_error(number)))), "{number}");
        }
        check(ErrorKind::PermissionDenied.into(), true);
    }

    #[test]
    fn what_is_missing_or_spoilt_is_the_repository_s() {
        let enoent = 2;
        check(io::Error::from_raw_os_error(enoent), false);
        for kind in [ErrorKind::UnexpectedEof, ErrorKind::InvalidData, ErrorKind::NotFound, ErrorKind::InvalidInput] {
            check(kind.into(), false);
        }
        check(io::Error::other("bad zlib header"), false);
        assert!(!is_to_blame(&NoIo), "no I/O error at all");
    }

    #[derive(Debug, thiserror::Error)]
    #[error("corrupt")]
    struct NoIo;
}
