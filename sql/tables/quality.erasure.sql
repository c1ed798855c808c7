create table if not exists quality.erasure (
    erasure_id  VARCHAR,
    erased_at   TIMESTAMP,
    users_asked BIGINT,
    users_found BIGINT,
    subject     VARCHAR,
    relation    VARCHAR,
    row_count   BIGINT,
    remark      VARCHAR
);

comment on table quality.erasure is 'Receipts of erasures: how many users were forgotten when, from which tables, and which models were made with them.';
comment on column quality.erasure.erasure_id is 'The erasure; several rows share it.';
comment on column quality.erasure.erased_at is 'When (UTC).';
comment on column quality.erasure.users_asked is 'How many users were to be forgotten.';
comment on column quality.erasure.users_found is 'How many of them there was anything of.';
comment on column quality.erasure.subject is 'table: rows were removed from it; model: it was fitted on users of that time and stays until it is fitted anew.';
comment on column quality.erasure.relation is 'The table, or the segmentation or input and the version of its model.';
comment on column quality.erasure.row_count is 'Rows removed; of a model, the users that it was fitted on, NULL where that is not known.';
comment on column quality.erasure.remark is 'What else there is to say.';
