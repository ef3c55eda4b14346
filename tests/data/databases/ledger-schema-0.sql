BEGIN TRANSACTION;
DROP TABLE IF EXISTS accepted;
CREATE TABLE accepted (
  tld TEXT PRIMARY KEY, serial INTEGER NOT NULL, sha256 TEXT NOT NULL, at TEXT NOT NULL) STRICT;
INSERT INTO accepted VALUES('zz',2026010101,'abababababababababababababababababababababababababababababababab','2026-01-02T12:00:00Z');
DROP TABLE IF EXISTS cases;
CREATE TABLE cases (
  id TEXT PRIMARY KEY, opening TEXT NOT NULL, rung INTEGER NOT NULL, rung_at TEXT, said TEXT NOT NULL) STRICT;
INSERT INTO cases VALUES('zz-bad.zz-1','2026-01-02T12:00:00.000000+00:00',1,'2026-01-02T12:00:00.000000+00:00','["phishing"]');
DROP TABLE IF EXISTS fixes;
CREATE TABLE fixes (
  case_id TEXT NOT NULL, opening TEXT NOT NULL, gone TEXT NOT NULL, PRIMARY KEY (case_id, opening)) STRICT;
DROP TABLE IF EXISTS mailed;
CREATE TABLE mailed (kind TEXT NOT NULL, period TEXT NOT NULL, PRIMARY KEY (kind, period)) STRICT;
DROP TABLE IF EXISTS notices;
CREATE TABLE notices (
  message_id TEXT NOT NULL, case_id TEXT NOT NULL, domain TEXT NOT NULL, template TEXT NOT NULL, rung INTEGER NOT NULL,
  role TEXT NOT NULL, party TEXT NOT NULL, opening TEXT NOT NULL, said TEXT NOT NULL, intent_at TEXT NOT NULL,
  PRIMARY KEY (message_id, case_id)) STRICT;
CREATE INDEX notices_case ON notices (case_id);
CREATE INDEX notices_time ON notices (intent_at);
DROP TABLE IF EXISTS outbox;
CREATE TABLE outbox (
  seq INTEGER PRIMARY KEY,
  message_id TEXT NOT NULL UNIQUE,
  digest TEXT NOT NULL,
  case_ids TEXT NOT NULL,
  template TEXT NOT NULL,
  rung INTEGER NOT NULL,
  role TEXT NOT NULL,
  recipient TEXT,
  envelope_sender TEXT,
  message BLOB,
  state TEXT NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  plain INTEGER NOT NULL DEFAULT 0,
  queued_at TEXT NOT NULL,
  checked_at TEXT NOT NULL,
  due_at TEXT NOT NULL,
  first_at TEXT,
  settled_at TEXT,
  reply_code INTEGER,
  reply_text TEXT
) STRICT;
CREATE INDEX outbox_digest ON outbox (digest);
CREATE INDEX outbox_due ON outbox (due_at, seq) WHERE recipient IS NOT NULL;
DROP TABLE IF EXISTS outcomes;
CREATE TABLE outcomes (
  case_id TEXT PRIMARY KEY, serial INTEGER NOT NULL, what TEXT NOT NULL, reason TEXT NOT NULL, at TEXT NOT NULL) STRICT;
DROP TABLE IF EXISTS queue;
CREATE TABLE queue (
  id INTEGER PRIMARY KEY AUTOINCREMENT, case_id TEXT NOT NULL, opening TEXT NOT NULL, reason TEXT NOT NULL,
  state TEXT NOT NULL, at TEXT NOT NULL, decided_at TEXT, UNIQUE (case_id, opening, reason)) STRICT;
INSERT INTO queue VALUES(1,'zz-bad.zz-1','2026-01-02T12:00:00.000000+00:00','popular','approved','2026-01-02T12:00:00Z','2026-01-02T12:00:00Z');
DROP TABLE IF EXISTS sizes;
CREATE TABLE sizes (tld TEXT PRIMARY KEY, serial INTEGER NOT NULL, size INTEGER NOT NULL) STRICT;
DROP TABLE IF EXISTS suppressed;
CREATE TABLE suppressed (party TEXT PRIMARY KEY, at TEXT NOT NULL) STRICT;
DELETE FROM main.sqlite_sequence WHERE name='queue';
INSERT INTO main.sqlite_sequence VALUES ('queue', 1);
COMMIT TRANSACTION;
