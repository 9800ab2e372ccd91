"""``Ec2Runtime``: a new Amazon EC2 instance for each job, or for a few jobs."""

from airflow_sklearn.runtimes.ec2.runtime import Ec2Runtime

__all__ = ["Ec2Runtime"]
