"""The name under which the user data of earlier versions start ``airflow_sklearn.worker.ec2_host``."""
