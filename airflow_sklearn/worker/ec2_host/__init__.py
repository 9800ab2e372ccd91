"""The work of one EC2 instance: the jobs of its queue, one after another, each as a worker process with its own log."""
