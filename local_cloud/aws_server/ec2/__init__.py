"""What Amazon EC2 does and ministack does not.

``instances`` has the operations, ``machines`` how instances boot and end; ``machine/`` are programs that are on them.
"""
