//! What has to happen in a run over many seeds: a world in which one of these never occurs proves less than it claims.

/// Situations, besides the faults and the ends that have lists of their own.
pub(crate) const ALL: [&str; 31] = [
    // The group.
    "several replicas",
    "a zombie woke after its partitions had moved",
    "a commit of an old generation was refused",
    "a partition was added while others ran",
    // The transaction.
    "a transaction timed out",
    "a producer was fenced by its time-out",
    "a commit of unknown outcome had happened",
    "a commit of unknown outcome had not happened",
    // The ledger.
    "the ledger was down",
    "the ledger was back",
    "a transaction was given up while the ledger was down",
    // The committed offset.
    "foreign metadata was read",
    "a map of another position was read",
    "an older position with its own map was read",
    "a committed offset of a stranger was overwritten by the owner",
    "metadata was refused",
    // Retention.
    "retention passed a dead owner's position",
    "retention passed a running reader",
    // The clock.
    "a clock leapt",
    "a due time was read by a slower clock",
    "a handler said when to try again",
    // Dependencies.
    "what only some records need was down",
    // The offset map's window.
    "a window was full",
    "a window was full and moved on",
    "attempts of a parked record were read by the next owner",
    "overflow to a retry topic",
    "overflow to the dead letters",
    "overflow halted",
    "a suspect record ran alone",
    // The routes.
    "routes changed while handlers ran",
    "attempts of other handlers were read by the next owner",
];
