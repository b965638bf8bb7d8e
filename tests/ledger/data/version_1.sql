BEGIN TRANSACTION;
CREATE TABLE attempt (
	call TEXT NOT NULL, 
	n INTEGER NOT NULL, 
	run TEXT NOT NULL, 
	token TEXT NOT NULL, 
	request_hash TEXT NOT NULL, 
	scopes TEXT NOT NULL, 
	worst BIGINT NOT NULL, 
	charge BIGINT NOT NULL, 
	state TEXT NOT NULL, 
	epoch INTEGER NOT NULL, 
	reserved_at DOUBLE NOT NULL, 
	send_by DOUBLE NOT NULL, 
	deadline DOUBLE NOT NULL, 
	batch TEXT NOT NULL, 
	submitted_at DOUBLE NOT NULL, 
	doubted_at DOUBLE NOT NULL, 
	ended_at DOUBLE NOT NULL, 
	usage TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	detail TEXT NOT NULL, 
	PRIMARY KEY (call, n)
)
 WITHOUT ROWID

;
INSERT INTO "attempt" VALUES('r|s|0',1,'r','k1','h','["run:r"]',100,40,'settled',1,1800000000.0,1800000030.0,1800000330.0,'',0.0,0.0,1800000000.0,'{"input":1}','','{}');
INSERT INTO "attempt" VALUES('r|s|1',1,'r','k2','h','["run:r"]',100,100,'reserved',1,1800000000.0,1800000030.0,1800000330.0,'',0.0,0.0,0.0,'','','{}');
CREATE TABLE audit (
	id INTEGER NOT NULL, 
	at DOUBLE NOT NULL, 
	action TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	"by" TEXT NOT NULL, 
	detail TEXT NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE call (
	id TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	value TEXT, 
	request_hash TEXT, 
	cost BIGINT NOT NULL, 
	usage TEXT NOT NULL, 
	at DOUBLE NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "call" VALUES('r|s|0','answer','"kept"','h',40,'{"input":1}',1800000000.0);
CREATE TABLE meta (
	name TEXT NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "meta" VALUES('schema_version','1');
INSERT INTO "meta" VALUES('ledger_uuid','7abc8215568c47478ebfd1491a1c93a3');
INSERT INTO "meta" VALUES('outbox_seq:0','1');
CREATE TABLE observation (
	run TEXT NOT NULL, 
	path TEXT NOT NULL, 
	name TEXT NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY (run, path, name)
);
INSERT INTO "observation" VALUES('r','','n','"seen"');
CREATE TABLE outbox (
	keeper TEXT NOT NULL, 
	seq BIGINT NOT NULL, 
	"table" TEXT NOT NULL, 
	"row" TEXT NOT NULL, 
	PRIMARY KEY (keeper, seq)
)
 WITHOUT ROWID

;
INSERT INTO "outbox" VALUES('0',1,'calls','{"name":"x"}');
CREATE TABLE run (
	id TEXT NOT NULL, 
	pipeline TEXT NOT NULL, 
	pins TEXT, 
	pins_hash TEXT NOT NULL, 
	owner TEXT NOT NULL, 
	lease_until DOUBLE NOT NULL, 
	epoch INTEGER NOT NULL, 
	status TEXT NOT NULL, 
	scopes TEXT NOT NULL, 
	opened_at DOUBLE NOT NULL, 
	ended_at DOUBLE, 
	erased_at DOUBLE, 
	PRIMARY KEY (id)
);
INSERT INTO "run" VALUES('r','refine','{"task":"repair"}','bb787e88f04e60327a375ea2790275c9ad890309ab6d5cd3a942353cd46cc5a3','a',1800000015.0,1,'open','["run:r"]',1800000000.0,NULL,NULL);
CREATE TABLE scope (
	name TEXT NOT NULL, 
	cap BIGINT, 
	version INTEGER NOT NULL, 
	used BIGINT NOT NULL, 
	in_doubt BIGINT NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "scope" VALUES('run:r',1000,1,140,0);
CREATE TABLE step (
	run TEXT NOT NULL, 
	path TEXT NOT NULL, 
	state TEXT NOT NULL, 
	result TEXT, 
	PRIMARY KEY (run, path)
);
INSERT INTO "step" VALUES('r','s','done','{"a":1}');
CREATE TABLE token (
	id TEXT NOT NULL, 
	epoch INTEGER NOT NULL, 
	status TEXT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "token" VALUES('open|r|open-1',1,'new');
INSERT INTO "token" VALUES('record|t',0,'recorded');
CREATE INDEX attempt_in_doubt ON attempt (call) WHERE state = 'in_doubt';
CREATE INDEX attempt_reserved ON attempt (deadline) WHERE state = 'reserved';
COMMIT;
