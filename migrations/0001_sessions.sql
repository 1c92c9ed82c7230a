-- The session application: what a user recorded, and what is made of it.
--
-- Written for PostgreSQL and SQLite alike: text ids, no sequences, timestamps
-- by current_timestamp (always UTC in both once they are read as instants).

create table sessions (
  id          text primary key,
  status      text not null default 'recording'
              check (status in ('recording', 'paused', 'processing',
                                'completed', 'failed')),
  created_at  timestamptz not null default current_timestamp,
  updated_at  timestamptz not null default current_timestamp,
  stopped_at  timestamptz
);

-- session:cleanup looks for the ones that nobody touched for long.
create index sessions_open on sessions (updated_at)
  where status in ('recording', 'paused');

create table page_visits (
  session_id  text not null references sessions (id) on delete cascade,
  url         text not null,
  title       text,
  visited_at  timestamptz not null default current_timestamp
);

create index page_visits_session on page_visits (session_id, visited_at);

-- One summary a page of a session; written by url:summarize.
create table summaries (
  session_id  text not null references sessions (id) on delete cascade,
  url         text not null,
  summary     text not null,
  model       text,
  created_at  timestamptz not null default current_timestamp,
  primary key (session_id, url)
);

-- One mind map a session, as JSON; written by mindmap:generate.
create table mind_maps (
  session_id  text primary key references sessions (id) on delete cascade,
  content     text not null,
  model       text,
  created_at  timestamptz not null default current_timestamp
);

create table tags (
  session_id  text not null references sessions (id) on delete cascade,
  tag         text not null,
  primary key (session_id, tag)
);

create index tags_tag on tags (tag);
