"""The process: log lines, metrics, worker processes, messages between them, and the threads that pipelines run on."""
