//! Tables: forward only, by migrations that are never changed once they are out (an older version that starts later checks
//! them by their hash). That a database of an older version is migrated with its rows is in tests/contract/older_database.rs.

use super::{files, repository, text, versions};

#[test]
fn migrations_of_every_version_are_still_the_first_ones() {
    for version in versions() {
        for database in ["postgres", "sqlite"] {
            let now = files(&repository().join("migrations").join(database));
            let old = files(&version.join("migrations").join(database));
            assert!(!old.is_empty() && old.len() <= now.len());
            for ((name, old), (now_named, now)) in old.into_iter().zip(now) {
                assert_eq!(now_named, name, "{database}: a migration comes after all that are out");
                assert_eq!(text(&now), text(&old), "{database}/{name} is out, and may not change");
            }
        }
    }
}

/// A statement of the version before works on the tables of the next one only if nothing that it names is gone, and
/// nothing new has to be given.
#[test]
fn a_migration_only_adds() {
    let oldest = files(&versions()[0].join("migrations/postgres")).len();
    for database in ["postgres", "sqlite"] {
        for (name, path) in files(&repository().join("migrations").join(database)).into_iter().skip(oldest) {
            let sql = text(&path).to_uppercase();
            for taken in ["DROP TABLE", "DROP COLUMN", "RENAME ", "SET NOT NULL", "DROP CONSTRAINT"] {
                assert!(
                    !sql.contains(taken),
                    "{database}/{name}: {taken}: the version before still runs on this database"
                );
            }
            for line in sql.lines().filter(|line| line.contains("ADD COLUMN") && line.contains("NOT NULL")) {
                assert!(line.contains("DEFAULT"), "{database}/{name}: {line}: the version before does not give it");
            }
        }
    }
}
