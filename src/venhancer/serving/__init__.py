"""Jobs that the page and the API share: kept in a folder, worked on in processes of their own."""
