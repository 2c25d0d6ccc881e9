"""One module a version of the database, never changed once released."""
