"""The paper's tables as commands: its figures and protocols as data, the systems it compares, and what is measured."""
