-- The tables as the first release (schema version 1) made them.
CREATE TABLE runs (
	id VARCHAR(16) NOT NULL,
	spec TEXT NOT NULL,
	dataset_name TEXT NOT NULL,
	CONSTRAINT pk_runs PRIMARY KEY (id)
);
CREATE TABLE schema_version (
	version INTEGER NOT NULL,
	CONSTRAINT pk_schema_version PRIMARY KEY (version)
);
CREATE TABLE studies (
	id INTEGER NOT NULL,
	name VARCHAR(100) NOT NULL,
	title TEXT NOT NULL,
	note TEXT NOT NULL,
	dataset_name TEXT NOT NULL,
	created_at DOUBLE NOT NULL,
	cancelled_at DOUBLE,
	CONSTRAINT pk_studies PRIMARY KEY (id),
	CONSTRAINT uq_studies_name UNIQUE (name)
);
CREATE TABLE submissions (
	nonce VARCHAR(100) NOT NULL,
	study_name VARCHAR(100) NOT NULL,
	new_jobs INTEGER NOT NULL,
	existing_jobs INTEGER NOT NULL,
	retried_jobs INTEGER NOT NULL,
	created_at DOUBLE NOT NULL,
	CONSTRAINT pk_submissions PRIMARY KEY (nonce)
);
CREATE TABLE workers (
	name VARCHAR(200) NOT NULL,
	host TEXT NOT NULL,
	pid INTEGER NOT NULL,
	slots INTEGER NOT NULL,
	seen_at DOUBLE NOT NULL,
	CONSTRAINT pk_workers PRIMARY KEY (name)
);
CREATE TABLE jobs (
	id INTEGER NOT NULL,
	run_id VARCHAR(16) NOT NULL,
	state VARCHAR(16) NOT NULL,
	wanted VARCHAR(16) NOT NULL,
	priority INTEGER NOT NULL,
	position INTEGER NOT NULL,
	attempts INTEGER NOT NULL,
	max_attempts INTEGER NOT NULL,
	token INTEGER NOT NULL,
	lease_until DOUBLE,
	worker TEXT NOT NULL,
	reason TEXT NOT NULL,
	progress TEXT,
	created_at DOUBLE NOT NULL,
	started_at DOUBLE,
	finished_at DOUBLE,
	CONSTRAINT pk_jobs PRIMARY KEY (id),
	CONSTRAINT uq_jobs_run_id UNIQUE (run_id),
	CONSTRAINT fk_jobs_run_id FOREIGN KEY(run_id) REFERENCES runs (id)
);
CREATE INDEX ix_jobs_claim ON jobs (state, priority DESC, position);
CREATE TABLE metrics (
	run_id VARCHAR(16) NOT NULL,
	step INTEGER NOT NULL,
	loss DOUBLE NOT NULL,
	classification_loss DOUBLE NOT NULL,
	localization_loss DOUBLE NOT NULL,
	learning_rate DOUBLE NOT NULL,
	images_per_s DOUBLE NOT NULL,
	CONSTRAINT pk_metrics PRIMARY KEY (run_id, step),
	CONSTRAINT fk_metrics_run_id FOREIGN KEY(run_id) REFERENCES runs (id)
);
CREATE TABLE results (
	run_id VARCHAR(16) NOT NULL,
	step INTEGER NOT NULL,
	score_threshold DOUBLE NOT NULL,
	final BOOLEAN NOT NULL,
	mean_ap DOUBLE,
	ap_of_class TEXT NOT NULL,
	CONSTRAINT pk_results PRIMARY KEY (run_id, step, score_threshold),
	CONSTRAINT fk_results_run_id FOREIGN KEY(run_id) REFERENCES runs (id)
);
CREATE TABLE study_runs (
	study_id INTEGER NOT NULL,
	position INTEGER NOT NULL,
	run_id VARCHAR(16) NOT NULL,
	CONSTRAINT pk_study_runs PRIMARY KEY (study_id, position),
	CONSTRAINT uq_study_runs_study_id_run_id UNIQUE (study_id, run_id),
	CONSTRAINT fk_study_runs_study_id FOREIGN KEY(study_id) REFERENCES studies (id),
	CONSTRAINT fk_study_runs_run_id FOREIGN KEY(run_id) REFERENCES runs (id)
);
CREATE INDEX ix_study_runs_run_id ON study_runs (run_id);
