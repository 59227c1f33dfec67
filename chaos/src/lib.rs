pub mod random;
pub mod reconcile;
