-- Functions and casts that Redshift has and PostgreSQL has not.
SET allow_system_table_mods = on;

CREATE OR REPLACE FUNCTION pg_catalog.version() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT 'PostgreSQL 8.0.2 on i686-pc-linux-gnu, compiled by GCC gcc (GCC) 3.4.2 20041017 (Red Hat 3.4.2-6.fc3), '
        || 'Redshift 1.0.99999'
$$;

CREATE FUNCTION pg_catalog.getdate() RETURNS timestamp LANGUAGE sql STABLE AS $$
    SELECT date_trunc('second', statement_timestamp() AT TIME ZONE 'UTC')
$$;
CREATE FUNCTION pg_catalog.sysdate() RETURNS timestamp LANGUAGE sql STABLE AS $$
    SELECT transaction_timestamp() AT TIME ZONE 'UTC'
$$;

-- Characters, in a database that counts bytes: those that do not continue a UTF-8 sequence.
CREATE FUNCTION pg_catalog.len(text) RETURNS int LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT length(regexp_replace($1, '[' || chr(128) || '-' || chr(191) || ']', '', 'g'))
$$;

CREATE FUNCTION pg_catalog.dateadd(part text, number bigint, moment timestamp) RETURNS timestamp
LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT moment + (number || ' ' || part)::interval
$$;

-- How many boundaries of the part lie between the two.
CREATE FUNCTION pg_catalog.datediff(part text, first timestamp, last timestamp) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT CASE
        WHEN part IN ('day', 'days') THEN (last::date - first::date)::bigint
        WHEN part IN ('microsecond', 'microseconds') THEN (extract(epoch FROM last - first) * 1000000)::bigint
        WHEN part IN ('month', 'months') THEN
            ((extract(year FROM last) - extract(year FROM first)) * 12 + extract(month FROM last)
                - extract(month FROM first))::bigint
        WHEN part IN ('year', 'years') THEN (extract(year FROM last) - extract(year FROM first))::bigint
        ELSE (extract(epoch FROM date_trunc(part, last) - date_trunc(part, first))
            / extract(epoch FROM ('1 ' || part)::interval))::bigint
    END
$$;
CREATE FUNCTION pg_catalog.date_diff(part text, first timestamp, last timestamp) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT AS $$ SELECT datediff(part, first, last) $$;

-- What the last COPY and UNLOAD of the session did; the stand-in sets it.
CREATE FUNCTION redshift.last(name text) RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT nullif(current_setting('redshift.' || name, true), '')
$$;
CREATE FUNCTION pg_catalog.pg_last_copy_id() RETURNS int LANGUAGE sql VOLATILE AS $$
    SELECT coalesce(redshift.last('copy_id'), '-1')::int
$$;
CREATE FUNCTION pg_catalog.pg_last_copy_count() RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT coalesce(redshift.last('copy_count'), '0')::bigint
$$;
CREATE FUNCTION pg_catalog.pg_last_unload_id() RETURNS int LANGUAGE sql VOLATILE AS $$
    SELECT coalesce(redshift.last('unload_id'), '-1')::int
$$;
CREATE FUNCTION pg_catalog.pg_last_unload_count() RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT coalesce(redshift.last('unload_count'), '0')::bigint
$$;

CREATE FUNCTION redshift.to_bigint(boolean) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT AS $$ SELECT $1::int::bigint $$;
CREATE FUNCTION redshift.to_smallint(boolean) RETURNS smallint LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT $1::int::smallint
$$;
CREATE CAST (boolean AS bigint) WITH FUNCTION redshift.to_bigint(boolean);
CREATE CAST (boolean AS smallint) WITH FUNCTION redshift.to_smallint(boolean);

ALTER DATABASE dev SET redshift.query_group = 'default';
ALTER DATABASE dev SET redshift.enable_case_sensitive_identifier = 'false';
ALTER DATABASE dev SET jit = off;
