"""The one description of a mesh: what the stack config says (`spec`) and what every part agrees on (`contract`)."""
