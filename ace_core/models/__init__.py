"""Networks of ACE-Step 1.5, one per file, at their published names and sizes."""
