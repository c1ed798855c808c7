create table if not exists sqlseg.duplicate_event (
    user_id     VARCHAR,
    event_time  TIMESTAMP,
    event_type  VARCHAR,
    event_id    VARCHAR,
    item_id     VARCHAR,
    category    VARCHAR,
    order_id    VARCHAR,
    session_id  VARCHAR,
    text        VARCHAR,
    price       DOUBLE,
    discount    DOUBLE,
    quantity    DOUBLE,
    duration    DOUBLE,
    ingested_at TIMESTAMP,
    local_time  TIMESTAMP,
    event_hash  UBIGINT
);

comment on table sqlseg.duplicate_event is 'Usable events that repeat another: where that one is taken back, one of these takes its place.';
comment on column sqlseg.duplicate_event.user_id is 'Who did it.';
comment on column sqlseg.duplicate_event.event_time is 'When (UTC).';
comment on column sqlseg.duplicate_event.event_type is 'What happened.';
comment on column sqlseg.duplicate_event.event_id is 'Identifies the event in its source.';
comment on column sqlseg.duplicate_event.item_id is 'The item it was about.';
comment on column sqlseg.duplicate_event.category is 'The category of the item.';
comment on column sqlseg.duplicate_event.order_id is 'The order that a purchase line belongs to.';
comment on column sqlseg.duplicate_event.session_id is 'The visit.';
comment on column sqlseg.duplicate_event.text is 'What was typed.';
comment on column sqlseg.duplicate_event.price is 'Price per unit, after discount.';
comment on column sqlseg.duplicate_event.discount is 'Amount taken off the line.';
comment on column sqlseg.duplicate_event.quantity is 'Units.';
comment on column sqlseg.duplicate_event.duration is 'Seconds on a page.';
comment on column sqlseg.duplicate_event.ingested_at is 'When the source learned of it (UTC).';
comment on column sqlseg.duplicate_event.local_time is 'When, on the clock of the shop.';
comment on column sqlseg.duplicate_event.event_hash is 'Hash of all columns but local_time.';
