-- What the stand-in keeps, and Redshift's views of the catalogue: those that the project and its tests read.
SET allow_system_table_mods = on;
CREATE SCHEMA redshift;
GRANT USAGE ON SCHEMA redshift TO PUBLIC;
GRANT CREATE ON SCHEMA public TO PUBLIC;
CREATE DOMAIN pg_catalog.super AS jsonb;

-- Statements that have ended.
CREATE TABLE redshift.history (
    query bigint, username text, label text, pid int, database text, querytxt text, status text, error text,
    row_count bigint, started timestamptz, ended timestamptz
);
CREATE TABLE redshift.load_errors (
    query bigint, pid int, tbl oid, file_name text, line_number bigint, column_name text, value text, code int,
    reason text, at timestamptz DEFAULT clock_timestamp()
);
GRANT SELECT ON ALL TABLES IN SCHEMA redshift TO PUBLIC;

CREATE VIEW pg_catalog.sys_query_history AS
SELECT u.oid::int AS user_id, query AS query_id, label::char(320) AS query_label, query AS transaction_id,
    pid AS session_id, database::char(128) AS database_name,
    upper(substring(querytxt FROM '^\s*(\w+)'))::varchar(32) AS query_type, status::char(10) AS status,
    started AT TIME ZONE 'UTC' AS start_time, ended AT TIME ZONE 'UTC' AS end_time,
    (extract(epoch FROM ended - started) * 1000000)::bigint AS elapsed_time, error::char(512) AS error_message,
    row_count AS returned_rows, querytxt::varchar(4000) AS query_text
FROM redshift.history JOIN pg_authid u ON u.rolname = username;

CREATE VIEW pg_catalog.stl_query AS
SELECT u.oid::int AS userid, query::int AS query, label::char(320) AS label, query AS xid, pid,
    database::char(32) AS database, querytxt::char(4000) AS querytxt, started AT TIME ZONE 'UTC' AS starttime,
    ended AT TIME ZONE 'UTC' AS endtime, (status <> 'success')::int AS aborted
FROM redshift.history JOIN pg_authid u ON u.rolname = username;

CREATE VIEW pg_catalog.sys_load_error_detail AS
SELECT 100 AS user_id, query AS query_id, query AS transaction_id, pid AS session_id,
    current_database()::text AS database_name, coalesce(tbl, 0)::int AS table_id, at AT TIME ZONE 'UTC' AS start_time,
    file_name::char(256) AS file_name, line_number, column_name::char(127) AS column_name,
    coalesce(split_part(format_type(a.atttypid, NULL), '(', 1), '')::char(10) AS column_type,
    coalesce(substring(format_type(a.atttypid, a.atttypmod) FROM '\((.*)\)'), '')::char(10) AS column_length,
    0 AS "position", code AS error_code, reason::char(512) AS error_message, value::char(1024) AS raw_field_value
FROM redshift.load_errors LEFT JOIN pg_attribute a ON a.attrelid = tbl AND a.attname = column_name;

CREATE VIEW pg_catalog.stl_load_errors AS
SELECT user_id AS userid, 0 AS slice, table_id AS tbl, start_time AS starttime, session_id AS session,
    query_id::int AS query, file_name AS filename, line_number, column_name AS colname, column_type AS type,
    column_length AS col_length, "position", raw_field_value::char(1024) AS raw_line,
    raw_field_value::char(1024) AS raw_field_value, error_code AS err_code, error_message::char(100) AS err_reason
FROM pg_catalog.sys_load_error_detail;

-- Tables as people made them, with the keys that are kept in the comment.
CREATE VIEW redshift.tables AS
SELECT c.oid, n.nspname, c.relname, c.relkind, c.relowner, keys.document,
    coalesce(keys.document ->> 'distkey', '[]')::jsonb AS distkey,
    coalesce(keys.document ->> 'sortkey', '[]')::jsonb AS sortkey
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (
    SELECT CASE WHEN obj_description(c.oid, 'pg_class') LIKE '{%' THEN obj_description(c.oid, 'pg_class')::jsonb END
        AS document
) keys
WHERE c.relkind IN ('r', 'v', 'm', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'redshift', 'pg_toast');
GRANT SELECT ON redshift.tables TO PUBLIC;

CREATE VIEW pg_catalog.svv_redshift_columns AS
SELECT current_database()::varchar(128) AS database_name, t.nspname::varchar(128) AS schema_name,
    t.relname::varchar(128) AS table_name, a.attname::varchar(128) AS column_name,
    (row_number() OVER (PARTITION BY t.oid ORDER BY a.attnum))::int AS ordinal_position,
    format_type(a.atttypid, a.atttypmod)::varchar(128) AS data_type,
    pg_get_expr(d.adbin, d.adrelid)::varchar(4000) AS column_default,
    (CASE WHEN a.attnotnull THEN 'NO' ELSE 'YES' END)::varchar(3) AS is_nullable, 'none'::varchar(128) AS encoding,
    t.distkey @> to_jsonb(ARRAY[a.attname::text]) AS distkey,
    coalesce((SELECT key.number FROM jsonb_array_elements_text(t.sortkey) WITH ORDINALITY AS key(name, number)
        WHERE key.name = a.attname), 0)::int AS sortkey,
    ''::varchar(128) AS column_acl, NULL::varchar(256) AS remarks
FROM redshift.tables t
JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE has_table_privilege(t.oid, 'SELECT, INSERT, UPDATE, DELETE, REFERENCES');

CREATE VIEW pg_catalog.svv_all_columns AS
SELECT database_name, schema_name, table_name, column_name, ordinal_position, column_default, is_nullable, data_type,
    substring(data_type FROM '^character.*\((\d+)\)')::int AS character_maximum_length,
    substring(data_type FROM '^numeric\((\d+),')::int AS numeric_precision,
    substring(data_type FROM '^numeric\(\d+,(\d+)')::int AS numeric_scale, remarks
FROM pg_catalog.svv_redshift_columns;

CREATE VIEW pg_catalog.svv_columns AS
SELECT database_name AS table_catalog, schema_name AS table_schema, table_name, column_name, ordinal_position,
    column_default, is_nullable, split_part(data_type, '(', 1)::varchar(128) AS data_type, character_maximum_length,
    numeric_precision, CASE WHEN numeric_precision IS NOT NULL THEN 10 END AS numeric_precision_radix, numeric_scale,
    NULL::int AS datetime_precision, remarks
FROM pg_catalog.svv_all_columns;

CREATE VIEW pg_catalog.svv_redshift_tables AS
SELECT current_database()::varchar(128) AS database_name, nspname::varchar(128) AS schema_name,
    relname::varchar(128) AS table_name, (CASE relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END)::varchar(128) AS table_type,
    ''::varchar(128) AS table_acl, NULL::varchar(256) AS remarks
FROM redshift.tables;

CREATE VIEW pg_catalog.svv_all_tables AS
SELECT database_name, schema_name, table_name, table_type, remarks FROM pg_catalog.svv_redshift_tables;

CREATE VIEW pg_catalog.svv_tables AS
SELECT database_name AS table_catalog, schema_name AS table_schema, table_name,
    (CASE table_type WHEN 'TABLE' THEN 'BASE TABLE' ELSE table_type END)::varchar(128) AS table_type, remarks
FROM pg_catalog.svv_redshift_tables;

CREATE VIEW pg_catalog.pg_table_def AS
SELECT schema_name::name AS schemaname, table_name::name AS tablename, column_name::name AS "column",
    data_type::text AS type, encoding::text AS encoding, distkey, sortkey, is_nullable = 'NO' AS "notnull"
FROM pg_catalog.svv_redshift_columns
WHERE schema_name = ANY (current_schemas(true));

-- Rows are counted when somebody asks. Redshift does not show empty tables here.
CREATE FUNCTION redshift.count_rows(relation oid) RETURNS numeric LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE counted numeric;
BEGIN
    EXECUTE format('SELECT count(*) FROM %s', relation::regclass) INTO counted;
    RETURN counted;
END $$;

CREATE VIEW pg_catalog.svv_table_info AS
SELECT * FROM (
    SELECT current_database()::text AS database, nspname::text AS schema, oid AS table_id, relname::text AS "table",
        'Y'::text AS encoded,
        CASE WHEN distkey <> '[]' THEN 'KEY(' || (distkey ->> 0) || ')'
            ELSE coalesce(document -> 'diststyle' ->> 0, 'AUTO(ALL)') END AS diststyle,
        sortkey ->> 0 AS sortkey1, jsonb_array_length(sortkey) AS sortkey_num, 1::bigint AS size,
        redshift.count_rows(oid) AS tbl_rows
    FROM redshift.tables WHERE relkind = 'r'
) counted WHERE tbl_rows > 0;

-- A group and a role of Redshift's are roles with a prefix here.
CREATE FUNCTION redshift.identity_type(role name) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN role LIKE 'group:%' THEN 'group' WHEN role LIKE 'role:%' THEN 'role' ELSE 'user' END
$$;
CREATE FUNCTION redshift.identity_name(role name) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT regexp_replace(role, '^(group|role):', '')
$$;

CREATE VIEW pg_catalog.svv_relation_privileges AS
SELECT n.nspname::varchar(128) AS namespace_name, c.relname::varchar(128) AS relation_name,
    acl.privilege_type::varchar(16) AS privilege_type, acl.grantee::int AS identity_id,
    (CASE acl.grantee WHEN 0 THEN 'public' ELSE redshift.identity_name(r.rolname) END)::varchar(128) AS identity_name,
    (CASE acl.grantee WHEN 0 THEN 'public' ELSE redshift.identity_type(r.rolname) END)::varchar(16) AS identity_type,
    acl.is_grantable AS admin_option
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL aclexplode(c.relacl) acl
LEFT JOIN pg_roles r ON r.oid = acl.grantee
WHERE c.relkind IN ('r', 'v', 'm', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'redshift')
    AND acl.privilege_type <> 'TRIGGER';

CREATE VIEW pg_catalog.svv_column_privileges AS
SELECT n.nspname::varchar(128) AS namespace_name, c.relname::varchar(128) AS relation_name,
    a.attname::varchar(128) AS column_name, acl.privilege_type::varchar(16) AS privilege_type,
    acl.grantee::int AS identity_id,
    (CASE acl.grantee WHEN 0 THEN 'public' ELSE redshift.identity_name(r.rolname) END)::varchar(128) AS identity_name,
    (CASE acl.grantee WHEN 0 THEN 'public' ELSE redshift.identity_type(r.rolname) END)::varchar(16) AS identity_type
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL aclexplode(a.attacl) acl
LEFT JOIN pg_roles r ON r.oid = acl.grantee
WHERE NOT a.attisdropped AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'redshift');

-- PostgreSQL's own policies stand for Redshift's, which are attached to users and roles.
CREATE VIEW pg_catalog.svv_rls_attached_policy AS
SELECT n.nspname::text AS relschema, c.relname::text AS relname, 'table'::text AS relkind, p.polname::text AS polname,
    c.relrowsecurity AS is_rls_on
FROM pg_policy p
JOIN pg_class c ON c.oid = p.polrelid
JOIN pg_namespace n ON n.oid = c.relnamespace;

-- There are none here.
CREATE VIEW pg_catalog.svv_attached_masking_policy AS
SELECT ''::text AS policy_name, ''::text AS schema_name, ''::text AS table_name, ''::text AS table_type WHERE false;

CREATE VIEW pg_catalog.svv_schema_privileges AS
SELECT n.nspname::varchar(128) AS namespace_name, acl.privilege_type::varchar(16) AS privilege_type,
    acl.grantee::int AS identity_id,
    (CASE acl.grantee WHEN 0 THEN 'public' ELSE redshift.identity_name(r.rolname) END)::varchar(128) AS identity_name,
    (CASE acl.grantee WHEN 0 THEN 'public' ELSE redshift.identity_type(r.rolname) END)::varchar(16) AS identity_type,
    acl.is_grantable AS admin_option
FROM pg_namespace n
CROSS JOIN LATERAL aclexplode(n.nspacl) acl
LEFT JOIN pg_roles r ON r.oid = acl.grantee;

CREATE VIEW pg_catalog.stv_sessions AS
SELECT backend_start AS starttime, pid AS process, usename::char(50) AS user_name, datname::char(50) AS db_name
FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend';

GRANT SELECT ON ALL TABLES IN SCHEMA pg_catalog TO PUBLIC;
REVOKE ALL ON pg_authid FROM PUBLIC;
