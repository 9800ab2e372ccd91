-- FNV_HASH: 64 bits of FNV-1a over the bytes of the value, as Redshift documents it.
CREATE EXTENSION plpython3u;
SET allow_system_table_mods = on;

CREATE FUNCTION redshift.fnv_text(value text, seed bigint) RETURNS bigint
LANGUAGE plpython3u IMMUTABLE STRICT PARALLEL SAFE COST 1000 AS $$
h = seed & 0xFFFFFFFFFFFFFFFF
for byte in value.encode():
    h = (h ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
return h - (h >> 63 << 64)
$$;
CREATE FUNCTION redshift.fnv_integer(value bigint, size int, seed bigint) RETURNS bigint
LANGUAGE plpython3u IMMUTABLE STRICT PARALLEL SAFE COST 1000 AS $$
h = seed & 0xFFFFFFFFFFFFFFFF
for byte in value.to_bytes(size, "little", signed=True):
    h = (h ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
return h - (h >> 63 << 64)
$$;
CREATE FUNCTION redshift.fnv_double(value double precision, seed bigint) RETURNS bigint
LANGUAGE plpython3u IMMUTABLE STRICT PARALLEL SAFE COST 1000 AS $$
import struct
h = seed & 0xFFFFFFFFFFFFFFFF
for byte in struct.pack("<d", value):
    h = (h ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
return h - (h >> 63 << 64)
$$;

-- The seed of a first column: FNV's offset basis.
CREATE FUNCTION redshift.fnv_basis() RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT -3750763034362895579
$$;
CREATE FUNCTION pg_catalog.fnv_hash(smallint, seed bigint DEFAULT redshift.fnv_basis()) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT redshift.fnv_integer($1::bigint, 2, $2)';
CREATE FUNCTION pg_catalog.fnv_hash(int, seed bigint DEFAULT redshift.fnv_basis()) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT redshift.fnv_integer($1::bigint, 4, $2)';
CREATE FUNCTION pg_catalog.fnv_hash(bigint, seed bigint DEFAULT redshift.fnv_basis()) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT redshift.fnv_integer($1, 8, $2)';
CREATE FUNCTION pg_catalog.fnv_hash(double precision, seed bigint DEFAULT redshift.fnv_basis()) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT redshift.fnv_double($1, $2)';
CREATE FUNCTION pg_catalog.fnv_hash(text, seed bigint DEFAULT redshift.fnv_basis()) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT redshift.fnv_text($1, $2)';
