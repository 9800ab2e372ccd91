"""The local AWS of the container tests: ministack, with what Amazon ECS and EC2 do and ministack does not.

It runs in ministack's own environment: ``python -m tests.cloud.server``. ``rules`` says which requests ECS refuses,
``requests`` applies it and holds the injected refusals, ``containers`` is what Docker is asked for, ``lifecycle`` is
how tasks end, ``task_endpoint`` is where a container finds its credentials. ``instances`` has the operations of EC2,
``machines`` how its instances boot and end; ``machine/`` are programs that are on them.
"""
