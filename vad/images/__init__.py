"""One image or movie file to pixels, and what is remembered of files."""
