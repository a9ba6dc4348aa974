"""One video on several devices: a process for each, which predicts what this one asks of it."""
