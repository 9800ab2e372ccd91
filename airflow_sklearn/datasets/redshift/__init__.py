"""Amazon Redshift: tables and queries as sources, tables as destinations. Airflow's side only."""
