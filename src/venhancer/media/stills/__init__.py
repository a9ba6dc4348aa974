"""Pictures, alone or numbered, as clips."""
