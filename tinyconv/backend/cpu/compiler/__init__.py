"""How Python loops become machine code: on demand, cached on disk, with a notice for people."""
