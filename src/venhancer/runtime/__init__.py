"""What networks run on."""
