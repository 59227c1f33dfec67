-- The oldest program that may still use this database, by the number of its last migration. Migrations add, so that replicas
-- of two versions may work side by side; one that takes something away raises this, and older programs refuse to start.
CREATE TABLE store_needs (migration BIGINT NOT NULL);
INSERT INTO store_needs (migration) VALUES (1);

-- Who asked for a change over HTTP; NULL where an event made it, or it is not known.
ALTER TABLE registry_entry ADD COLUMN principal TEXT;
ALTER TABLE registry_history ADD COLUMN principal TEXT;

-- Words of an entry's data, and the version that they are of. What an older program wrote has none, or those of before: it
-- is found by the second index, and indexed later.
ALTER TABLE registry_entry ADD COLUMN words TEXT[] COLLATE "C", ADD COLUMN words_version BIGINT;
CREATE INDEX registry_entry_words ON registry_entry USING gin (words);
CREATE INDEX registry_entry_unindexed ON registry_entry (registry, entry) WHERE words_version IS DISTINCT FROM version;
