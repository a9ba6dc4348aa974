"""The page: controls made from the settings, jobs under way, results beside what they were made from."""
