"""The AWS server: ministack, with what Amazon ECS and EC2 do and ministack does not.

It runs in ministack's own environment: ``python -m local_cloud.aws_server``. ``fault_proxy`` is a process before it
that answers with errors where it is told to.
"""
