"""One instance's work: the jobs of its queue one after another, each a worker process with a log stream of its own."""
