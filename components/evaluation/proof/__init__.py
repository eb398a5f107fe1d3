"""Break copies of a real run, and see whether the gates refuse them. Writes only below a given folder."""
