"""Amazon Redshift: tables and queries as sources, tables as destinations. Used on Airflow's side only."""
