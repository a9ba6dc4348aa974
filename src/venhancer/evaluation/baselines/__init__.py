"""What results are compared with: resizing, interpolation, chains of small networks, and any program."""
