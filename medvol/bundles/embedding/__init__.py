"""One vector per image, a map of them, and a page to point at."""
