-- The inbox belongs to a group: a second one on the same database has results of its own. Rows from before are the one
-- group's that there is; where there are several, nobody can tell, and a redelivery right after this is handled again.
ALTER TABLE inbox ADD COLUMN consumer_group TEXT NOT NULL DEFAULT '';
UPDATE inbox SET consumer_group = (SELECT min(consumer_group) FROM partition_owner)
    WHERE (SELECT count(DISTINCT consumer_group) FROM partition_owner) = 1;
ALTER TABLE inbox DROP CONSTRAINT inbox_pkey, ADD PRIMARY KEY (consumer_group, handler, source, event_id, run);
