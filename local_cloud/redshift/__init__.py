"""Amazon Redshift for tests: PostgreSQL's server behind a process that speaks and behaves as Redshift does.

::

    with postgres.running("127.0.0.1", log) as database, standin.running(database, endpoint, log) as redshift:
        redshift.query("SELECT version()")

The driver is the real redshift_connector, the hook is Airflow's, files are in S3. What is real: transactions,
serializable isolation, locks, sessions, binding of parameters, privileges, the bytes of files. What is written after
the documentation: UNLOAD, COPY, the dialect, the catalogue's views, errors.

What it cannot prove: that Redshift's planner takes a statement, and how long it needs; what slices and distribution do
to a query; the binary protocol (here everything is text); IAM: a role only has to look like one; encodings and
compression; limits of size; VACUUM; concurrency scaling; and that Redshift finds a conflict between transactions
exactly where PostgreSQL does.

Known differences: names have at most 63 bytes, not 127; text is bytes, so that SUBSTRING, UPPER and LIKE's underscore
are right for ASCII only; the privileges DROP and ALTER do not exist.
"""
