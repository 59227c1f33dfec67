//! What is down, as the engine has it: a handler does not ask a server that is known to be away.
//!
//! A route that needs it as a whole is not asked for anything meanwhile. Other routes go on without the records that need it
//! ([`Dependency::is_one_of_many`]); of those, one of each key has its handler run once more, and a server that hangs would
//! keep it for as long as it may.

use std::collections::BTreeSet;
use std::sync::{PoisonError, RwLock};

use super::Failure;
use crate::engine::Dependency;

/// Shared by the engine's driver and the handlers.
#[derive(Debug, Default)]
pub struct Outages(RwLock<BTreeSet<Dependency>>);

impl Outages {
    /// From now on these are down, and no others.
    pub fn are(&self, down: BTreeSet<Dependency>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = down;
    }

    /// Before `dependency` is asked.
    ///
    /// # Errors
    /// Systemic: it is down.
    pub fn check(&self, dependency: &str) -> Result<(), Failure> {
        let down = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if down.iter().any(|one| &*one.0 == dependency) {
            let message = format!("{dependency} is down; it is not asked until it answers again");
            return Err(Failure::systemic(dependency, "dependency_down", message));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Class;

    #[test]
    fn what_is_down_is_not_asked() {
        let outages = Outages::default();
        outages.are([Dependency::new("http:shop")].into());
        let failure = outages.check("http:shop").unwrap_err();
        assert_eq!(failure.class, Class::Systemic(Dependency::new("http:shop")));
        assert_eq!(failure.message, "http:shop is down; it is not asked until it answers again");
        assert!(outages.check("http:other").is_ok());
        outages.are(BTreeSet::new());
        assert!(outages.check("http:shop").is_ok());
    }
}
