"""What Amazon ECS does and ministack does not.

``rules`` says which requests ECS refuses, ``requests`` applies it and holds the injected refusals, ``containers`` is
what Docker is asked for, ``lifecycle`` is how tasks end, ``task_endpoint`` is where a container finds its credentials.
"""
