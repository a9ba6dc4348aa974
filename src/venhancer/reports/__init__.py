"""What people read: sheets, plots and rows."""
