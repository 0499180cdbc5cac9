"""Session files: records, the journal they fold into, and how they are read, locked and written."""
