"""Where the mesh's wishes and machines are seen: an AWS stack by a child process, or two files."""
