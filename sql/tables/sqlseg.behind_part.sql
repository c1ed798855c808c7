create table if not exists sqlseg.behind_part (
    user_id VARCHAR
);

comment on table sqlseg.behind_part is 'Users who were touched since the tables of sqlseg.kept_part were last brought up to date.';
comment on column sqlseg.behind_part.user_id is 'The user.';
