BEGIN TRANSACTION;
CREATE TABLE capsules (
	experiment VARCHAR(40) NOT NULL, 
	content JSON NOT NULL, 
	PRIMARY KEY (experiment), 
	FOREIGN KEY(experiment) REFERENCES experiments (id)
);
INSERT INTO "capsules" VALUES('exp_20251124-160000-9f5fa9c8','{"relearn_capsule": 1, "sha256": "ff"}');
CREATE TABLE curves (
	"key" VARCHAR(64) NOT NULL, 
	name VARCHAR(200) NOT NULL, 
	"values" JSON NOT NULL, 
	PRIMARY KEY ("key", name), 
	FOREIGN KEY("key") REFERENCES nodes ("key")
);
INSERT INTO "curves" VALUES('7f4de4e2fcdeeffd403c5a5255a05b4c96028b572f9001352ec0fcd5c26319c9','top1/episodes','[0.5, null]');
CREATE TABLE details (
	"key" VARCHAR(64) NOT NULL, 
	content JSON NOT NULL, 
	PRIMARY KEY ("key"), 
	FOREIGN KEY("key") REFERENCES nodes ("key")
);
INSERT INTO "details" VALUES('7a27041cd6862c1af9d8baab546d01a4fcf05b5642f09ed46a655e1bed46bfe7','{"evaluator": "accuracy", "version": 2, "settings": {"batch_size": 64}, "source": "digits-noisy#aa", "target": "digits-noisy#aa", "digests": {"5shot": "ee"}, "notes": [], "fingerprint": {"torch": "2.13.0", "device": "cpu", "threads": 1, "onednn": true}}');
INSERT INTO "details" VALUES('c7ff3581a59526ec7137794d08ffe60a7cfae2fe488127c5475479d41512df3a','{"evaluator": "accuracy", "version": 2, "settings": {"batch_size": 64}, "source": "digits-noisy#aa", "target": "digits-noisy#aa", "digests": {"5shot": "ee"}, "notes": [], "fingerprint": {"torch": "2.13.0", "device": "cpu", "threads": 1, "onednn": true}}');
CREATE TABLE epochs (
	id INTEGER NOT NULL, 
	"key" VARCHAR(64) NOT NULL, 
	generation INTEGER NOT NULL, 
	epoch INTEGER NOT NULL, 
	phase VARCHAR(64) NOT NULL, 
	metrics JSON NOT NULL, 
	warnings JSON NOT NULL, 
	at FLOAT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE ("key", epoch), 
	FOREIGN KEY("key") REFERENCES nodes ("key")
);
INSERT INTO "epochs" VALUES(1,'de6ded79e27488e5fe318ae4f236d84397004dcca15d8d563f0d0b9cf0473941',0,2,'learning','{"test/accuracy": 0.5}','[]',0.0);
INSERT INTO "epochs" VALUES(2,'72121bf860354580d88cedb0949189e94b57c79aff340ed0f5e3cfb3cf78143f',1,2,'learning','{"test/accuracy": 0.5}','[]',0.0);
INSERT INTO "epochs" VALUES(3,'6bd18884a1e80e427fdfecf436e27ea026daa4ee686aab8c56df0848d1b69b51',1,2,'learning','{"test/accuracy": 0.5}','[]',0.0);
INSERT INTO "epochs" VALUES(4,'a36590ef6942ed89128ba4817dcb91b95beb2bf7a60e03ebb3cc2cb1be99d49e',2,0,'learning','{"train/loss": 0.5}','["no forgetting happened"]',1764000101.0);
CREATE TABLE experiments (
	id VARCHAR(40) NOT NULL, 
	name VARCHAR(64) NOT NULL, 
	spec JSON NOT NULL, 
	"plan" JSON NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	reason VARCHAR(16), 
	message TEXT, 
	attempt INTEGER NOT NULL, 
	alive_at FLOAT, 
	created_at FLOAT NOT NULL, 
	started_at FLOAT, 
	finished_at FLOAT, 
	published BOOLEAN NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "experiments" VALUES('exp_20251124-160000-9f5fa9c8','small','{"name": "small", "title": null, "preset": null, "data": {"name": "digits-noisy", "holdout": 0.0, "train_per_class": 4, "label_noise": 0.4, "noise_seed": 0}, "model": {"name": "resnet-digits", "width": 4}, "train": {"recipe": "paper", "generations": 2, "epochs": 3, "batch_size": 16, "lr": 0.01, "momentum": 0.9, "weight_decay": 0.0005, "label_smoothing": 0.1, "schedule": {"shape": "cosine", "warmup_epochs": 0, "scope": "generation", "milestones": [], "decay": 0.1}, "precision": "fp32", "reset_momentum_at": ["generation", "switch"], "batch_norm": "synced", "evaluate_every": 1}, "arms": [{"name": "normal", "method": {"name": "normal"}, "checkpoint": null, "fork": null, "data": null, "model": null, "train": null}, {"name": "seal", "method": {"name": "seal", "layer_threshold": "layer3", "ascent_scale": 0.01, "ascent_fraction": 0.25, "ascent_epochs": null, "ascent_weight_decay": "flip", "variant": "descent", "reverse_output_layer": true}, "checkpoint": null, "fork": null, "data": null, "model": null, "train": null}], "seeds": [0], "evaluations": [{"evaluator": {"name": "accuracy"}, "on": ["last"], "arms": null}], "tables": [], "resources": {"cpus": 1, "gpus": 0.0, "workers": 1, "threads": 1, "checkpoint_every_s": 30.0, "max_worker_failures": 3}, "search": null}','{"generation": {"requested": 4, "unique": 3, "cached": 0}, "evaluation": {"requested": 2, "unique": 2, "cached": 0}}','SUCCEEDED',NULL,NULL,1,1764000000.0,1764000000.0,1764000000.0,1764000000.0,1);
INSERT INTO "experiments" VALUES('exp_20251124-160140-50022173','broken','{"name": "broken", "title": null, "preset": null, "data": {"name": "digits-noisy", "holdout": 0.0, "train_per_class": 4, "label_noise": 0.4, "noise_seed": 0}, "model": {"name": "resnet-digits", "width": 4}, "train": {"recipe": "paper", "generations": 3, "epochs": 3, "batch_size": 16, "lr": 0.01, "momentum": 0.9, "weight_decay": 0.0005, "label_smoothing": 0.1, "schedule": {"shape": "cosine", "warmup_epochs": 0, "scope": "generation", "milestones": [], "decay": 0.1}, "precision": "fp32", "reset_momentum_at": ["generation", "switch"], "batch_norm": "synced", "evaluate_every": 1}, "arms": [{"name": "normal", "method": {"name": "normal"}, "checkpoint": null, "fork": null, "data": null, "model": null, "train": null}, {"name": "seal", "method": {"name": "seal", "layer_threshold": "layer3", "ascent_scale": 0.01, "ascent_fraction": 0.25, "ascent_epochs": null, "ascent_weight_decay": "flip", "variant": "descent", "reverse_output_layer": true}, "checkpoint": null, "fork": null, "data": null, "model": null, "train": null}], "seeds": [0], "evaluations": [{"evaluator": {"name": "accuracy"}, "on": ["last"], "arms": null}], "tables": [], "resources": {"cpus": 1, "gpus": 0.0, "workers": 1, "threads": 1, "checkpoint_every_s": 30.0, "max_worker_failures": 3}, "search": null}','{"generation": {"requested": 6, "unique": 5, "cached": 3}, "evaluation": {"requested": 2, "unique": 2, "cached": 0}}','FAILED','DIVERGED','2 of 7 nodes failed or were skipped; the rest is complete',1,1764000105.0,1764000100.0,1764000100.0,1764000105.0,0);
INSERT INTO "experiments" VALUES('exp_20251124-160146-dbe076fe','small','{"name": "small", "title": null, "preset": null, "data": {"name": "digits-noisy", "holdout": 0.0, "train_per_class": 4, "label_noise": 0.4, "noise_seed": 0}, "model": {"name": "resnet-digits", "width": 4}, "train": {"recipe": "paper", "generations": 2, "epochs": 3, "batch_size": 16, "lr": 0.01, "momentum": 0.9, "weight_decay": 0.0005, "label_smoothing": 0.1, "schedule": {"shape": "cosine", "warmup_epochs": 0, "scope": "generation", "milestones": [], "decay": 0.1}, "precision": "fp32", "reset_momentum_at": ["generation", "switch"], "batch_norm": "synced", "evaluate_every": 1}, "arms": [{"name": "normal", "method": {"name": "normal"}, "checkpoint": null, "fork": null, "data": null, "model": null, "train": null}, {"name": "seal", "method": {"name": "seal", "layer_threshold": "layer3", "ascent_scale": 0.01, "ascent_fraction": 0.25, "ascent_epochs": null, "ascent_weight_decay": "flip", "variant": "descent", "reverse_output_layer": true}, "checkpoint": null, "fork": null, "data": null, "model": null, "train": null}], "seeds": [0], "evaluations": [{"evaluator": {"name": "accuracy"}, "on": ["last"], "arms": null}], "tables": [], "resources": {"cpus": 1, "gpus": 0.0, "workers": 1, "threads": 1, "checkpoint_every_s": 30.0, "max_worker_failures": 3}, "search": null}','{"generation": {"requested": 4, "unique": 3, "cached": 3}, "evaluation": {"requested": 2, "unique": 2, "cached": 2}}','QUEUED',NULL,NULL,0,NULL,1764000106.0,NULL,NULL,0);
CREATE TABLE idempotency (
	"key" VARCHAR(255) NOT NULL, 
	body_sha256 VARCHAR(64) NOT NULL, 
	experiment VARCHAR(40) NOT NULL, 
	PRIMARY KEY ("key"), 
	FOREIGN KEY(experiment) REFERENCES experiments (id)
);
INSERT INTO "idempotency" VALUES('key','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','exp_20251124-160000-9f5fa9c8');
CREATE TABLE machines (
	"key" VARCHAR(64) NOT NULL, 
	fingerprint JSON NOT NULL, 
	PRIMARY KEY ("key"), 
	FOREIGN KEY("key") REFERENCES nodes ("key")
);
INSERT INTO "machines" VALUES('de6ded79e27488e5fe318ae4f236d84397004dcca15d8d563f0d0b9cf0473941','{"torch": "2.13.0", "device": "cpu", "threads": 1, "onednn": true}');
INSERT INTO "machines" VALUES('72121bf860354580d88cedb0949189e94b57c79aff340ed0f5e3cfb3cf78143f','{"torch": "2.13.0", "device": "cpu", "threads": 1, "onednn": true}');
INSERT INTO "machines" VALUES('6bd18884a1e80e427fdfecf436e27ea026daa4ee686aab8c56df0848d1b69b51','{"torch": "2.13.0", "device": "cpu", "threads": 1, "onednn": true}');
CREATE TABLE nodes (
	"key" VARCHAR(64) NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	fence INTEGER NOT NULL, 
	owner VARCHAR(40), 
	made_by VARCHAR(200), 
	reason VARCHAR(16), 
	message TEXT, 
	checkpoint_uri TEXT, 
	weights_sha256 VARCHAR(64), 
	started_at FLOAT, 
	finished_at FLOAT, 
	PRIMARY KEY ("key")
);
INSERT INTO "nodes" VALUES('de6ded79e27488e5fe318ae4f236d84397004dcca15d8d563f0d0b9cf0473941','generation','SUCCEEDED',1,'exp_20251124-160000-9f5fa9c8','exp_20251124-160000-9f5fa9c8/normal/seed0/g0',NULL,NULL,'mlflow://a','de740a6338659af6e2aa68d4967cd9560ae032d5ba6743a52a732dd20d3b237e',1764000000.0,1764000000.0);
INSERT INTO "nodes" VALUES('72121bf860354580d88cedb0949189e94b57c79aff340ed0f5e3cfb3cf78143f','generation','SUCCEEDED',1,'exp_20251124-160000-9f5fa9c8','exp_20251124-160000-9f5fa9c8/normal/seed0/g1',NULL,NULL,'mlflow://a','c451a06e86c5f54ea14ace394498433c2bfdddbf144cf81da4c9a443082f702b',1764000000.0,1764000000.0);
INSERT INTO "nodes" VALUES('7a27041cd6862c1af9d8baab546d01a4fcf05b5642f09ed46a655e1bed46bfe7','evaluation','SUCCEEDED',1,'exp_20251124-160000-9f5fa9c8','exp_20251124-160000-9f5fa9c8/normal/seed0/g1/accuracy/digits-noisy',NULL,NULL,NULL,NULL,1764000000.0,1764000000.0);
INSERT INTO "nodes" VALUES('6bd18884a1e80e427fdfecf436e27ea026daa4ee686aab8c56df0848d1b69b51','generation','SUCCEEDED',1,'exp_20251124-160000-9f5fa9c8','exp_20251124-160000-9f5fa9c8/seal/seed0/g1',NULL,NULL,'mlflow://a','45c7e687add3add47ee29a5301bb0b2c676e107ebb6643025365a6c07f3623b5',1764000000.0,1764000000.0);
INSERT INTO "nodes" VALUES('c7ff3581a59526ec7137794d08ffe60a7cfae2fe488127c5475479d41512df3a','evaluation','SUCCEEDED',1,'exp_20251124-160000-9f5fa9c8','exp_20251124-160000-9f5fa9c8/seal/seed0/g1/accuracy/digits-noisy',NULL,NULL,NULL,NULL,1764000000.0,1764000000.0);
INSERT INTO "nodes" VALUES('a36590ef6942ed89128ba4817dcb91b95beb2bf7a60e03ebb3cc2cb1be99d49e','generation','FAILED',1,'exp_20251124-160140-50022173',NULL,'DIVERGED','the loss became nan',NULL,NULL,1764000100.0,1764000100.0);
INSERT INTO "nodes" VALUES('e0c636f01c62a95f86adc0535eb9eccf47d53f884642b691e6b74506e0cfc423','evaluation','SKIPPED',0,NULL,NULL,'DEPENDENCY',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "nodes" VALUES('1edba238c88f0a5dfd1ea4d775f0406f7c36c853c3b2d120f2eea0641891d463','generation','SUCCEEDED',1,'exp_20251124-160140-50022173','exp_20251124-160140-50022173/seal/seed0/g2',NULL,NULL,'mlflow://b','bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb',1764000100.0,1764000100.0);
INSERT INTO "nodes" VALUES('7f4de4e2fcdeeffd403c5a5255a05b4c96028b572f9001352ec0fcd5c26319c9','evaluation','SUCCEEDED',1,'exp_20251124-160140-50022173','exp_20251124-160140-50022173/seal/seed0/g2/accuracy/digits-noisy',NULL,NULL,NULL,NULL,1764000100.0,1764000100.0);
CREATE TABLE results (
	id INTEGER NOT NULL, 
	"key" VARCHAR(64) NOT NULL, 
	evaluator VARCHAR(64) NOT NULL, 
	dataset VARCHAR(64) NOT NULL, 
	metric VARCHAR(200) NOT NULL, 
	value FLOAT, 
	low FLOAT, 
	high FLOAT, 
	n BIGINT NOT NULL, 
	at FLOAT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE ("key", metric), 
	FOREIGN KEY("key") REFERENCES nodes ("key")
);
INSERT INTO "results" VALUES(1,'7a27041cd6862c1af9d8baab546d01a4fcf05b5642f09ed46a655e1bed46bfe7','accuracy','digits-noisy','top1',0.75,0.73,0.77,896,1764000000.0);
INSERT INTO "results" VALUES(2,'c7ff3581a59526ec7137794d08ffe60a7cfae2fe488127c5475479d41512df3a','accuracy','digits-noisy','top1',0.75,0.73,0.77,896,1764000000.0);
INSERT INTO "results" VALUES(3,'7f4de4e2fcdeeffd403c5a5255a05b4c96028b572f9001352ec0fcd5c26319c9','accuracy','digits-noisy','top1',NULL,NULL,NULL,896,1764000100.0);
CREATE TABLE runs (
	experiment VARCHAR(40) NOT NULL, 
	arm VARCHAR(64) NOT NULL, 
	seed BIGINT NOT NULL, 
	run_id VARCHAR(64) NOT NULL, 
	shipped_epoch INTEGER NOT NULL, 
	shipped_result INTEGER NOT NULL, 
	PRIMARY KEY (experiment, arm, seed), 
	FOREIGN KEY(experiment) REFERENCES experiments (id)
);
INSERT INTO "runs" VALUES('exp_20251124-160000-9f5fa9c8','normal',0,'run1',2,1);
INSERT INTO "runs" VALUES('exp_20251124-160000-9f5fa9c8','seal',0,'run2',0,0);
CREATE TABLE timings (
	id INTEGER NOT NULL, 
	kind VARCHAR(64) NOT NULL, 
	content JSON NOT NULL, 
	at FLOAT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "timings" VALUES(1,'dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd','{"step_s": [0.1, 0.2], "judged_image_s": 0.001, "machine": "cpu"}',1764000106.0);
CREATE TABLE uses (
	experiment VARCHAR(40) NOT NULL, 
	"key" VARCHAR(64) NOT NULL, 
	arm VARCHAR(64) NOT NULL, 
	seed BIGINT NOT NULL, 
	generation INTEGER NOT NULL, 
	cached BOOLEAN NOT NULL, 
	PRIMARY KEY (experiment, "key", arm, seed), 
	FOREIGN KEY(experiment) REFERENCES experiments (id), 
	FOREIGN KEY("key") REFERENCES nodes ("key")
);
INSERT INTO "uses" VALUES('exp_20251124-160000-9f5fa9c8','de6ded79e27488e5fe318ae4f236d84397004dcca15d8d563f0d0b9cf0473941','normal',0,0,0);
INSERT INTO "uses" VALUES('exp_20251124-160000-9f5fa9c8','72121bf860354580d88cedb0949189e94b57c79aff340ed0f5e3cfb3cf78143f','normal',0,1,0);
INSERT INTO "uses" VALUES('exp_20251124-160000-9f5fa9c8','7a27041cd6862c1af9d8baab546d01a4fcf05b5642f09ed46a655e1bed46bfe7','normal',0,1,0);
INSERT INTO "uses" VALUES('exp_20251124-160000-9f5fa9c8','de6ded79e27488e5fe318ae4f236d84397004dcca15d8d563f0d0b9cf0473941','seal',0,0,0);
INSERT INTO "uses" VALUES('exp_20251124-160000-9f5fa9c8','6bd18884a1e80e427fdfecf436e27ea026daa4ee686aab8c56df0848d1b69b51','seal',0,1,0);
INSERT INTO "uses" VALUES('exp_20251124-160000-9f5fa9c8','c7ff3581a59526ec7137794d08ffe60a7cfae2fe488127c5475479d41512df3a','seal',0,1,0);
INSERT INTO "uses" VALUES('exp_20251124-160140-50022173','de6ded79e27488e5fe318ae4f236d84397004dcca15d8d563f0d0b9cf0473941','normal',0,0,1);
INSERT INTO "uses" VALUES('exp_20251124-160140-50022173','72121bf860354580d88cedb0949189e94b57c79aff340ed0f5e3cfb3cf78143f','normal',0,1,1);
INSERT INTO "uses" VALUES('exp_20251124-160140-50022173','a36590ef6942ed89128ba4817dcb91b95beb2bf7a60e03ebb3cc2cb1be99d49e','normal',0,2,0);
INSERT INTO "uses" VALUES('exp_20251124-160140-50022173','e0c636f01c62a95f86adc0535eb9eccf47d53f884642b691e6b74506e0cfc423','normal',0,2,0);
INSERT INTO "uses" VALUES('exp_20251124-160140-50022173','de6ded79e27488e5fe318ae4f236d84397004dcca15d8d563f0d0b9cf0473941','seal',0,0,1);
INSERT INTO "uses" VALUES('exp_20251124-160140-50022173','6bd18884a1e80e427fdfecf436e27ea026daa4ee686aab8c56df0848d1b69b51','seal',0,1,1);
INSERT INTO "uses" VALUES('exp_20251124-160140-50022173','1edba238c88f0a5dfd1ea4d775f0406f7c36c853c3b2d120f2eea0641891d463','seal',0,2,0);
INSERT INTO "uses" VALUES('exp_20251124-160140-50022173','7f4de4e2fcdeeffd403c5a5255a05b4c96028b572f9001352ec0fcd5c26319c9','seal',0,2,0);
INSERT INTO "uses" VALUES('exp_20251124-160146-dbe076fe','de6ded79e27488e5fe318ae4f236d84397004dcca15d8d563f0d0b9cf0473941','normal',0,0,1);
INSERT INTO "uses" VALUES('exp_20251124-160146-dbe076fe','72121bf860354580d88cedb0949189e94b57c79aff340ed0f5e3cfb3cf78143f','normal',0,1,1);
INSERT INTO "uses" VALUES('exp_20251124-160146-dbe076fe','7a27041cd6862c1af9d8baab546d01a4fcf05b5642f09ed46a655e1bed46bfe7','normal',0,1,1);
INSERT INTO "uses" VALUES('exp_20251124-160146-dbe076fe','de6ded79e27488e5fe318ae4f236d84397004dcca15d8d563f0d0b9cf0473941','seal',0,0,1);
INSERT INTO "uses" VALUES('exp_20251124-160146-dbe076fe','6bd18884a1e80e427fdfecf436e27ea026daa4ee686aab8c56df0848d1b69b51','seal',0,1,1);
INSERT INTO "uses" VALUES('exp_20251124-160146-dbe076fe','c7ff3581a59526ec7137794d08ffe60a7cfae2fe488127c5475479d41512df3a','seal',0,1,1);
CREATE INDEX ix_experiments_state ON experiments (state);
CREATE INDEX ix_timings_kind ON timings (kind);
CREATE INDEX ix_epochs_key ON epochs ("key");
CREATE INDEX ix_results_key ON results ("key");
COMMIT;
