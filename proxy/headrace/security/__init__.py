"""Rights: who may read and change the registry, the audit log, and the guard of the registry index."""
