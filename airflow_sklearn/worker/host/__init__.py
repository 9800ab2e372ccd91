"""The former name of ``airflow_sklearn.worker.ec2_host``, which user data of earlier versions start."""
