"""Files: songs that know how they were made."""
