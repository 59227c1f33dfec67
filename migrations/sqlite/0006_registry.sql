-- As in migrations/postgres, but for words, which have a table.
CREATE TABLE store_needs (migration INTEGER NOT NULL) STRICT;
INSERT INTO store_needs (migration) VALUES (1);

ALTER TABLE registry_entry ADD COLUMN principal TEXT;
ALTER TABLE registry_history ADD COLUMN principal TEXT;

ALTER TABLE registry_entry ADD COLUMN words_version INTEGER;
CREATE INDEX registry_entry_unindexed ON registry_entry (registry, entry) WHERE words_version IS NOT version;
CREATE TABLE registry_word (
    registry TEXT NOT NULL,
    word     TEXT NOT NULL,
    entry    TEXT NOT NULL,
    PRIMARY KEY (registry, word, entry)
) STRICT, WITHOUT ROWID;
CREATE INDEX registry_word_entry ON registry_word (registry, entry);
