"""Jobs on several engines: a measurement, and a simulation that its constants feed."""
